"""The training loop: the guard, early stopping, best weights, class weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.optimizers import build_optimizer
from shared.training.batching import CachedBatches
from shared.training.config import LossConfig, OptimizerConfig, RunConfig, TrainingConfig
from shared.training.fit import Fit, NonFiniteLossError, evaluate, total_epochs

CONFIG = RunConfig(
    optimizer=OptimizerConfig(name="sgd", learning_rate=0.1, schedule="constant"),
    training=TrainingConfig(epochs=4, batch_size=4),
)


def batches(rows: int = 16, seed: int = 0) -> CachedBatches:
    random = np.random.default_rng(seed)
    targets = np.eye(2, dtype=np.float32)[random.integers(0, 2, rows)]
    inputs = random.normal(size=(rows, 3)).astype(np.float32) + targets[:, :1]
    return CachedBatches(inputs, targets, 4)


def model_for(config: RunConfig) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(
        build_optimizer(config.optimizer, 16),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit_for(folder: Path, config: RunConfig = CONFIG, **changes: object) -> Fit:
    given = {"train": batches(), "validation": batches(seed=1), **changes}
    return Fit(model_for(config), config=config, folder=folder, **given)


def test_a_loss_that_is_not_finite_stops_training_and_says_where(tmp_path: Path) -> None:
    train = batches()
    train.inputs[:] = np.nan
    with pytest.raises(NonFiniteLossError, match="epoch 1 at batch 1 of 4 .step 1 of the run"):
        fit_for(tmp_path, train=train).run()


def test_batches_of_all_sizes_share_a_graph(tmp_path: Path) -> None:
    fit = fit_for(tmp_path, train=batches(rows=14), validation=batches(rows=9, seed=1))
    traced = []
    for name in ("train_step", "test_step"):
        step = getattr(fit.model, name)

        def noting(data: object, name: str = name, step: Callable = step) -> dict[str, tf.Tensor]:
            traced.append(name)
            return step(data)

        setattr(fit.model, name, noting)
    fit.run()
    assert traced.count("train_step") == 1 and traced.count("test_step") <= 2


def test_a_run_that_diverges_later_is_stopped_too(tmp_path: Path) -> None:
    fit = fit_for(tmp_path)
    normal = fit.model.train_on_batch
    answers = iter(range(100))

    def diverging(*arguments: object, **names: object) -> dict[str, float]:
        metrics = normal(*arguments, **names)
        return {**metrics, "loss": float("inf")} if next(answers) == 5 else metrics

    fit.model.train_on_batch = diverging
    with pytest.raises(NonFiniteLossError, match="inf in epoch 2 at batch 2 of 4 .step 6"):
        fit.run()


def test_the_weights_of_the_best_epoch_are_kept_the_later_of_equals(tmp_path: Path) -> None:
    fit = fit_for(tmp_path)
    from shared.training.checkpoint import Progress

    progress = Progress()
    for value, kept in ((2.0, True), (1.0, True), (1.0, True), (1.5, False)):
        fit.model.set_weights([np.full((3, 2), value), np.zeros(2)])
        mark = fit.model.get_weights()[0]
        mark += 0.01 * len(fit.best_weights)
        fit._keep_best(progress, {"validation_loss": value})
        assert (fit.best_weights[0][0, 0] == np.float32(value)) == kept
    assert (progress.best, progress.wait) == (1.0, 2)


@pytest.mark.parametrize(
    ("monitor", "best"), [("validation_loss", min), ("validation_accuracy", max)]
)
def test_training_ends_with_the_weights_of_the_best_epoch(
    tmp_path: Path, monitor: str, best: object
) -> None:
    config = replace(CONFIG, training=replace(CONFIG.training, monitor=monitor, epochs=6))
    fit = fit_for(tmp_path, config)
    progress = fit.run()
    assert len(progress.history) == 6
    values = [row[monitor] for row in progress.history]
    name = monitor.removeprefix("validation_")
    assert evaluate(fit.model, fit.validation)[name] == pytest.approx(best(values), abs=1e-6)


def test_early_stopping_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    config = replace(CONFIG, training=replace(CONFIG.training, epochs=20, patience=3))
    fit = fit_for(tmp_path, config)
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.5, 1.0])
    keep = fit._keep_best
    fit._keep_best = lambda progress, row: keep(progress, {"validation_loss": next(losses)})
    progress = fit.run()
    assert progress.epoch == 5
    assert progress.stopped


def test_class_weights_weigh_the_loss_of_each_example(tmp_path: Path) -> None:
    fit = fit_for(tmp_path, class_weights=np.array([0.0, 1.0], np.float32))
    before = fit.model.get_weights()
    only_first = np.eye(2, dtype=np.float32)[[0, 0, 0, 0]]
    fit._step(batches().inputs[:4], only_first)
    for found, expected in zip(fit.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    fit._step(batches().inputs[:4], 1 - only_first)
    assert np.any(fit.model.get_weights()[0] != before[0])


def test_evaluation_counts_every_example_once() -> None:
    model = model_for(CONFIG)
    uneven = batches(rows=10)
    logits = model(uneven.inputs).numpy()
    accuracy = np.mean(logits.argmax(-1) == uneven.targets.argmax(-1))
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.mean((log_probabilities * uneven.targets).sum(-1))
    found = evaluate(model, uneven)
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_small_sets_are_passed_over_more_often() -> None:
    settings = TrainingConfig(epochs=5, minimum_steps=100)
    assert total_epochs(settings, steps=9) == 12
    assert total_epochs(settings, steps=1000) == 5


def test_the_loss_of_the_history_is_the_mean_over_steps(tmp_path: Path) -> None:
    config = replace(
        CONFIG, loss=LossConfig(), training=replace(CONFIG.training, epochs=1, batch_size=4)
    )
    fit = fit_for(tmp_path, config)
    losses = []
    normal = fit.model.train_on_batch

    def noting(*arguments: object, **names: object) -> dict[str, float]:
        metrics = normal(*arguments, **names)
        losses.append(metrics["loss"])
        return metrics

    fit.model.train_on_batch = noting
    assert fit.run().history[0]["loss"] == pytest.approx(np.mean(losses))
