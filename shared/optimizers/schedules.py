"""Learning rates over the steps of a run."""

import keras
from keras import ops

from shared.training.config import OptimizerConfig


@keras.saving.register_keras_serializable("quartet")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a peak and falls to almost zero, each along half a cosine or a line.

    Keras has no such schedule. The two phases and their defaults are those of PyTorch's
    `OneCycleLR`, after Smith and Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120.

    Args:
        peak: float. Learning rate at the top.
        total_steps: int. Steps of the whole run.
        warmup_fraction: float. Share of the steps before the top.
        start_divisor: float. The first learning rate is `peak / start_divisor`.
        end_divisor: float. The last learning rate is `peak / start_divisor / end_divisor`.
        linear: bool. Along lines instead of cosines.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        warmup_fraction: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 1e4,
        linear: bool = False,
    ) -> None:
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction
        self.start_divisor = start_divisor
        self.end_divisor = end_divisor
        self.linear = linear

    def __call__(self, step: int | keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, "float32")
        top = max(self.warmup_fraction * self.total_steps - 1, 1e-6)
        last = max(self.total_steps - 1 - top, 1e-6)
        start = self.peak / self.start_divisor
        course = _line if self.linear else _half_cosine
        rise = course(start, self.peak, step / top)
        fall = course(self.peak, start / self.end_divisor, (step - top) / last)
        return ops.where(step <= top, rise, fall)

    def get_config(self) -> dict[str, float]:
        return dict(vars(self))


def _line(start: float, end: float, share: keras.KerasTensor) -> keras.KerasTensor:
    return end + (start - end) * (1.0 - ops.clip(share, 0.0, 1.0))


def _half_cosine(start: float, end: float, share: keras.KerasTensor) -> keras.KerasTensor:
    share = ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1.0 + ops.cos(share * 3.141592653589793)) / 2.0


def build_schedule(
    config: OptimizerConfig, total_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of a run of `total_steps` steps.

    Returns:
        A number for `constant`, else a schedule: linear warm-up and a cosine down to zero, or
        `OneCycle`.
    """
    warmup_steps = round(config.warmup_fraction * total_steps)
    match config.schedule:
        case "constant":
            return config.learning_rate
        case "one_cycle" | "one_cycle_linear":
            linear = config.schedule == "one_cycle_linear"
            return OneCycle(
                config.learning_rate, total_steps, config.warmup_fraction, linear=linear
            )
        case "warmup_cosine":
            return keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0 if warmup_steps else config.learning_rate,
                decay_steps=max(total_steps - warmup_steps, 1),
                warmup_target=config.learning_rate if warmup_steps else None,
                warmup_steps=warmup_steps,
            )
