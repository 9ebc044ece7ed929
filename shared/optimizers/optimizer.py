"""From a configuration to a Keras optimizer."""

from typing import Any

import keras

from shared.optimizers.layer_rates import LayerRates, with_layer_rates
from shared.optimizers.muon import Muon
from shared.optimizers.schedules import build_schedule
from shared.training.config import OptimizerConfig

OPTIMIZERS: dict[str, type[keras.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "muon": Muon,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "nadam": keras.optimizers.Nadam,
}

# Names of output layers and of a conditional random field's scores, whose rows are no directions.
LEFT_TO_ADAM = ["logits", "transitions"]
# Learning rate of the parameters that Muon leaves to Adam, relative to that of its matrices.
ADAM_TO_MUON = 0.25


def build_optimizer(
    config: OptimizerConfig, total_steps: int, rates: LayerRates | None = None
) -> keras.Optimizer:
    """The optimizer of a run.

    Weight decay leaves biases and normalisation parameters alone: shrinking those does not
    regularise (He et al., "Bag of Tricks", https://arxiv.org/abs/1812.01187, section 3.1).

    Args:
        config: Name, learning rate, schedule and the rest.
        total_steps: Steps of the whole run, which the schedule spans.
        rates: Learning rates of pretrained layers relative to that of the others.

    Returns:
        A `keras.Optimizer`; with `average_decay` it also keeps the running average of weights.
    """
    arguments: dict[str, Any] = {
        "learning_rate": build_schedule(config, total_steps),
        "weight_decay": config.weight_decay,
        "global_clipnorm": config.clip_norm or None,
        "use_ema": config.average_decay > 0,
    }
    if config.average_decay:
        arguments["ema_momentum"] = config.average_decay
    if config.name in ("sgd", "rmsprop", "muon"):
        arguments["momentum"] = config.momentum
    if config.name == "sgd":
        arguments["nesterov"] = config.nesterov and config.momentum > 0
    if config.name == "muon":
        arguments["adam_weight_decay"] = config.weight_decay
        arguments["adam_lr_ratio"] = ADAM_TO_MUON
        arguments["exclude_layers"] = LEFT_TO_ADAM
    kind = OPTIMIZERS[config.name]
    if rates:
        kind = with_layer_rates(kind, rates, total_steps)
    optimizer = kind(**arguments)
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
