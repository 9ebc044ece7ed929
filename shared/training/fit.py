"""The training loop: epochs of steps that can be killed at any moment and gone on with."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.progress import Progress as ProgressBar

from shared.optimizers import averaged_weights
from shared.training.batching import Batches, steps_per_epoch
from shared.training.checkpoint import Checkpoints, Progress
from shared.training.config import RunConfig, TrainingConfig
from shared.training.console import CONSOLE, format_metrics, progress_bar

Validate = Callable[[keras.Model, Batches], Mapping[str, float]]

SMALLER_IS_BETTER = ("loss", "error", "wer", "cer", "perplexity")


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite."""


class Fit:
    """One training run of a compiled model.

    Args:
        model: Compiled model; `train_on_batch` gives its metrics by name.
        train: Training batches.
        validation: Validation batches, evaluated after every epoch.
        config: Epochs, patience, seed and the rest.
        folder: Where checkpoints are kept; training goes on from the newest one there.
        augmentation: Layer over `(inputs, targets)` for training batches.
        class_weights: float array `(classes,)` that weighs the loss of each example.
        validate: Gives further validation metrics of the model after every epoch.
    """

    def __init__(
        self,
        model: keras.Model,
        train: Batches,
        validation: Batches,
        config: RunConfig,
        folder: Path,
        augmentation: keras.Layer | None = None,
        class_weights: np.ndarray | None = None,
        validate: Validate | None = None,
    ) -> None:
        self.model = model
        self.train = train
        self.validation = validation
        self.settings = config.training
        self.seed = config.seed
        self.class_weights = class_weights
        self.validate = validate or (lambda model, batches: {})
        self.steps = steps_per_epoch(train)
        self.epochs = total_epochs(config.training, self.steps)
        self.augment = (
            _trace_once(model, partial(augmentation, training=True)) if augmentation else None
        )
        model.optimizer.build(model.trainable_variables)
        _trace_steps_once(model)
        self.checkpoints = Checkpoints(
            folder,
            {
                "model": model.variables,
                "optimizer": model.optimizer.variables,
                "augmentation": augmentation.variables if augmentation else [],
            },
        )
        self.best_weights: list[np.ndarray] = []
        self.saved = time.monotonic()

    def run(self) -> Progress:
        """Trains to the last epoch or to early stopping, and leaves the best weights in the model.

        Returns:
            The progress with the history, one row of metrics per epoch.

        Raises:
            NonFiniteLossError: The loss became NaN or infinite; says at which step.
            CheckpointError: A checkpoint cannot be written or read.
        """
        start = time.monotonic()
        self._build_metrics()
        progress, self.best_weights = self.checkpoints.restore() or (Progress(), [])
        progress.seconds += time.monotonic() - start
        if progress.epoch or progress.step:
            CONSOLE.print(f"going on at epoch {progress.epoch + 1}, step {progress.step + 1}")
        with progress_bar() as bar:
            bar.add_task("", total=self.epochs * self.steps)
            while progress.epoch < self.epochs and not progress.stopped:
                self._train_epoch(progress, bar)
                self._finish_epoch(progress)
                self._save_if_due(progress)
        self.checkpoints.save(progress, self.best_weights)
        self.model.set_weights(self.best_weights)
        return progress

    def _build_metrics(self) -> None:
        """Makes the variables of the metrics: a graph that makes them itself is made twice.

        Draws random numbers, so what a checkpoint says of the seeds must be restored afterwards.
        """
        self.model.test_on_batch(*next(iter(self.validation.epoch())))

    def _save_if_due(self, progress: Progress) -> None:
        if time.monotonic() - self.saved > self.settings.checkpoint_seconds:
            self.checkpoints.save(progress, self.best_weights)
            self.saved = time.monotonic()

    def _train_epoch(self, progress: Progress, bar: ProgressBar) -> None:
        clock = time.monotonic()
        seed = np.random.SeedSequence([self.seed, progress.epoch]).generate_state(1)[0]
        for inputs, targets in self.train.epoch(int(seed), skip=progress.step):
            metrics = self._step(inputs, targets)
            progress.step += 1
            self._check_finite(metrics["loss"], progress)
            for name, value in metrics.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + float(value)
            now = time.monotonic()
            progress.seconds, clock = progress.seconds + now - clock, now
            self._save_if_due(progress)
            self._show(progress, metrics, bar)

    def _step(self, inputs: Any, targets: Any) -> dict[str, float]:
        weights = None
        if self.class_weights is not None:
            # The label is the first of several targets by name.
            label = tf.nest.flatten(targets)[0]
            weights = self.class_weights[np.argmax(label, axis=-1)]
        if self.augment is not None:
            inputs, targets = self.augment(inputs, targets)
        return self.model.train_on_batch(inputs, targets, weights, return_dict=True)

    def _check_finite(self, loss: float, progress: Progress) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"The loss became {loss} in epoch {progress.epoch + 1} at batch {progress.step} of "
                f"{self.steps} (step {progress.epoch * self.steps + progress.step} of the run). "
                "Try a lower --optimizer.learning_rate, or --optimizer.clip_norm 1."
            )

    def _finish_epoch(self, progress: Progress) -> None:
        start = time.monotonic()
        row = {name: total / progress.step for name, total in progress.sums.items()}
        with averaged_weights(self.model):
            values = evaluate(self.model, self.validation)
            values |= self.validate(self.model, self.validation)
            row.update({f"validation_{name}": value for name, value in values.items()})
            self._keep_best(progress, row)
        progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}
        progress.seconds += time.monotonic() - start
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        progress.history.append({"epoch": progress.epoch, **row, "seconds": progress.seconds})
        CONSOLE.print(f"epoch {progress.epoch}/{self.epochs}  {format_metrics(row)}")

    def _keep_best(self, progress: Progress, row: Mapping[str, float]) -> None:
        """Keeps the weights of the best epoch, the later one of equals."""
        monitor = self.settings.monitor
        sign = -1.0 if monitor.rpartition("_")[2] in SMALLER_IS_BETTER else 1.0
        gain = math.inf if progress.best is None else sign * (row[monitor] - progress.best)
        if gain >= 0:
            progress.best, self.best_weights = row[monitor], self.model.get_weights()
        progress.wait = 0 if gain > 0 else progress.wait + 1
        progress.stopped = 0 < self.settings.patience <= progress.wait

    def _show(self, progress: Progress, metrics: Mapping[str, float], bar: ProgressBar) -> None:
        bar.update(
            bar.task_ids[0],
            completed=progress.epoch * self.steps + progress.step,
            description=f"epoch {progress.epoch + 1}/{self.epochs}  loss {metrics['loss']:.4f}",
        )


def total_epochs(settings: TrainingConfig, steps: int) -> int:
    """Epochs of a run whose epochs have `steps` steps."""
    return max(settings.epochs, math.ceil(settings.minimum_steps / steps))


def evaluate(model: keras.Model, batches: Batches) -> dict[str, float]:
    """Loss and metrics of a compiled model over all batches, weighted by their sizes."""
    sums: dict[str, float] = {}
    for inputs, targets in batches.epoch():
        for name, value in model.test_on_batch(inputs, targets, return_dict=True).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(tf.nest.flatten(targets)[0])
    return {name: total / batches.examples for name, total in sums.items()}


def _trace_steps_once(model: keras.Model) -> None:
    """Gives `train_on_batch` and `test_on_batch` graphs instead of those that they would make."""
    train = _trace_once(model, lambda *data: model.train_step(data), model.jit_compile)
    test = _trace_once(model, lambda *data: model.test_step(data), model.jit_compile)
    model.train_function = lambda batches: train(*next(batches))
    model.test_function = lambda batches: test(*next(batches))


def _trace_once(
    model: keras.Model, function: Callable[..., Any], jit_compile: bool = False
) -> Callable[..., Any]:
    """A function of the model's inputs and more as one graph for batches of all sizes.

    Otherwise there would be a graph for the first batch, and one more when a size turns out to
    vary: of the training steps of recurrent networks, each takes seconds.
    """
    graph: Callable[..., Any] | None = None

    def run(*data: Any) -> Any:
        nonlocal graph
        given = tuple(part for part in data if part is not None)
        if graph is None:
            signature = _any_size(model, *given)
            graph = tf.function(function, signature, autograph=False, jit_compile=jit_compile)
        return graph(*given)

    return run


def _any_size(model: keras.Model, inputs: Any, *others: Any) -> list[Any]:
    """What describes batches like this one: sizes are fixed only where those of `model` are."""
    pairs = zip(tf.nest.flatten(inputs), model.inputs, strict=True)
    fixed = [tf.TensorSpec(own.shape, batch.dtype) for batch, own in pairs]
    free = tf.nest.map_structure(
        lambda batch: tf.TensorSpec([None] * batch.ndim, batch.dtype), others
    )
    return [tf.nest.pack_sequence_as(inputs, fixed), *free]
