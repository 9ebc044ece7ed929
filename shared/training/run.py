"""The one sequence that every app goes through, from a configuration to a published model."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from shared.export.repository import publish, staging_folder
from shared.export.saved_model import ServedModel, write_details, write_saved_model
from shared.export.verification import verify
from shared.export.warmup import write_warmup
from shared.optimizers import build_optimizer
from shared.training.app import App, Evaluation, Splits, Survey, Trained
from shared.training.batching import Batches, build_batches, steps_per_epoch
from shared.training.checkpoint import Progress
from shared.training.command_line import RunOptions
from shared.training.config import Config, ConfigError
from shared.training.console import CONSOLE, format_metrics, print_problems
from shared.training.fit import Fit, total_epochs
from shared.training.reproducibility import prepare_process
from shared.training.run_folder import RunFolder, describe, open_run_folder, write_json
from shared.training.run_report import write_run_report

VERIFIED_EXAMPLES = 256
PREDICTION_BATCH = 256


def run(app: App[Config], config: Config, options: RunOptions) -> dict[str, Any]:
    """Trains, evaluates, exports, verifies and publishes one model.

    Args:
        app: The app's functions.
        config: What to train; with `options.resume`, the configuration of the resumed run
            takes its place.
        options: Where to start from and where to write.

    Returns:
        `app`, `data`, `version`, `path`, `test` metrics and the `headline` among them,
        `train_seconds`, `total_seconds`, `run` folder, `samples` for `predict`.

    Raises:
        ConfigError: The configuration does not fit the data or the model.
        NonFiniteLossError, CheckpointError, ExportError: Training or export failed.
    """
    start = time.monotonic()
    folder, config = open_run_folder(app.name, config, options)
    prepare_process(config)
    survey = app.load(config)
    print_problems(survey.problems)
    survey.raise_errors()
    trained, progress = train(app, config, survey, folder)
    served = ServedModel(app.build_signatures(trained), trained.labels, trained.calibration)
    if app.keep:
        app.keep(trained, folder.path)
    test = app.evaluate(served, survey.splits.test)
    baseline = dict(app.baseline(config, survey.splits)) if app.baseline else {}
    metrics: dict[str, Any] = {
        "test": test.metrics,
        "validation": trained.validation,
        "train_seconds": round(progress.seconds, 1),
        "epochs": progress.epoch,
        "train_examples": survey.splits.train.size,
        "parameters": trained.model.count_params(),
        **trained.calibration,
        **({"baseline": baseline} if baseline else {}),
    }
    path = export(app, trained, served, survey.splits, metrics, options.saved_models)
    samples = app.write_samples(survey.splits.test, trained.labels, folder.path / "samples")
    _write_results(folder, trained, progress, test, metrics, survey)
    if baseline:
        CONSOLE.print(f"baseline  {format_metrics(baseline)}")
    CONSOLE.print(f"test  {format_metrics(test.metrics)}\nreport  {folder.report}\nmodel  {path}")
    return {
        "app": app.name,
        "data": config.data,
        "version": int(path.name),
        "path": str(path),
        "test": test.metrics,
        "headline": app.task(config).headline,
        "train_seconds": metrics["train_seconds"],
        "total_seconds": round(time.monotonic() - start, 1),
        "run": str(folder.path),
        "samples": samples,
    }


def train(
    app: App[Config], config: Config, survey: Survey, folder: RunFolder
) -> tuple[Trained[Config], Progress]:
    """Fits preprocess, model and calibration to the training and validation examples."""
    labels = survey.splits.labels
    preprocess = app.build_preprocess(config, survey)
    train_batches, validation = _build_batches(app, config, survey, preprocess)
    model = app.build_model(config, preprocess, labels)
    _compile(app, config, model, steps_per_epoch(train_batches))
    CONSOLE.print(
        f"{survey.splits.name}: {survey.splits.train.size:,} training examples, {len(labels)} "
        f"classes; {model.count_params():,} parameters"
    )
    fit = Fit(
        model,
        train_batches,
        validation,
        config,
        folder.checkpoints,
        app.build_augmentation(config, preprocess, labels),
        _class_weights(survey.splits) if config.training.class_weights else None,
        app.validate,
    )
    progress = fit.run()
    model = _in_float32(app, config, preprocess, labels, model)
    trained = Trained(config, labels, preprocess, model)
    calibration, metrics = app.calibrate(trained, validation)
    return replace(trained, calibration=calibration, validation=metrics), progress


def export(
    app: App[Config],
    trained: Trained[Config],
    served: ServedModel,
    splits: Splits,
    metrics: dict[str, Any],
    repository: Path,
) -> Path:
    """Writes, verifies and publishes a trained model; `metrics` gains the key `export`.

    Returns:
        The published version's folder.

    Raises:
        ExportError: The written model is not equal to the trained one; nothing is published.
    """
    task = app.task(trained.config)
    examples = splits.validation.read(None).take(VERIFIED_EXAMPLES)
    inputs = np.array([example["input"] for example in examples.as_numpy_iterator()], dtype=object)
    with staging_folder(repository, app.name) as folder:
        write_saved_model(folder, served.signatures, [trained.preprocess, trained.model])
        details = describe(app.name, trained.config)
        write_details(folder, {**details, "calibration": trained.calibration}, trained.labels)
        write_warmup(folder, app.name, app.build_warmup(inputs))
        reference = app.reference(trained, inputs)
        metrics["export"] = verify(folder, task.signatures, {task.input_name: inputs}, reference)
        write_json(folder / "assets.extra" / "metrics.json", metrics)
        return publish(folder)


def _build_batches(
    app: App[Config], config: Config, survey: Survey, preprocess: keras.Layer
) -> tuple[Batches, Batches]:
    prepare = app.prepare(config, preprocess, survey.splits.labels)
    vary = app.build_variation(config) if app.build_variation else None
    gigabytes = config.training.cache_gigabytes
    train, validation = survey.splits.train, survey.splits.validation
    return (
        build_batches(train, prepare, config.training.batch_size, gigabytes, vary),
        build_batches(validation, prepare, PREDICTION_BATCH, gigabytes),
    )


def _compile(app: App[Config], config: Config, model: keras.Model, steps: int) -> None:
    task = app.task(config)
    names = [f"validation_{name}" for name in ("loss", *task.metrics, *task.validation_metrics)]
    if config.training.monitor not in names:
        raise ConfigError(
            f"--training.monitor is {config.training.monitor!r}, expected one of {names}."
        )
    rates = app.build_layer_rates(config) if app.build_layer_rates else None
    total_steps = steps * total_epochs(config.training, steps)
    model.compile(
        optimizer=build_optimizer(config.optimizer, total_steps, rates),
        loss=app.build_loss(config, model),
        metrics=list(task.metrics),
        jit_compile=config.training.xla,
    )


def _class_weights(splits: Splits) -> np.ndarray:
    weights = np.ones(len(splits.labels), np.float32)
    seen = np.unique(splits.train.labels)
    weights[seen] = compute_class_weight("balanced", classes=seen, y=splits.train.labels)
    return weights


def _in_float32(
    app: App[Config],
    config: Config,
    preprocess: keras.Layer,
    labels: tuple[str, ...],
    model: keras.Model,
) -> keras.Model:
    """The same weights in a float32 graph, which is what every server can run."""
    if config.training.precision == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    exported = app.build_model(config, preprocess, labels)
    exported.set_weights(model.get_weights())
    return exported


def _write_results(
    folder: RunFolder,
    trained: Trained[Config],
    progress: Progress,
    test: Evaluation,
    metrics: Mapping[str, Any],
    survey: Survey,
) -> None:
    """Fills the run folder; metrics.json comes last and marks the run as finished."""
    folder.write_history(progress.history)
    folder.write_errors(test.errors)
    details = json.loads(folder.config.read_text(encoding="utf-8"))
    write_run_report(folder.report, details, metrics, test, progress.history, survey.problems)
    write_json(folder.path / "metrics.json", metrics)
