"""Asking a served model every example, and `python -m apps.<app>.evaluate`."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tyro

from shared.environment import prepare_tensorflow
from shared.export.answers import join_batches
from shared.training.app import App, Evaluation, Labels, Split
from shared.training.command_line import refuse
from shared.training.config import Config, ConfigError, read_config
from shared.training.console import CONSOLE, format_metrics, print_problems
from shared.training.report import Report, write_report
from shared.training.run_folder import RunFolder, write_json
from shared.training.run_report import app_title, metric_tiles

if TYPE_CHECKING:
    import tensorflow as tf

    from shared.export.saved_model import ServedModel

BATCH = 256
LABEL_SETS = "label_sets"
"""The annotation of examples that have any number of labels, float32 `(size, classes)`."""


@dataclass(frozen=True)
class Answers:
    """A served model's answers to a split, in stored order."""

    outputs: dict[str, np.ndarray]
    labels: np.ndarray
    ids: list[str]


def answer_split(
    model: "ServedModel", split: Split, input_name: str, batch_size: int = BATCH
) -> Answers:
    """Asks `serving_default` every raw example of a split.

    Args:
        model: In memory or reloaded.
        split: Raw examples.
        input_name: The signature's input that takes them.
        batch_size: int. Examples that are asked at once.

    Returns:
        Outputs `(examples, …)` by name, label indices `(examples,)` and ids.
    """
    parts, labels, ids = [], [], []
    for batch in split.read(None).batch(batch_size).prefetch(1).as_numpy_iterator():
        parts.append(model.predict(**{input_name: batch["input"]}))
        labels.append(batch["label"])
        ids += [name.decode("utf-8", "replace") for name in batch["id"]]
    outputs = {name: join_batches([part[name] for part in parts]) for name in parts[0]}
    return Answers(outputs, np.concatenate(labels), ids)


@dataclass(frozen=True)
class EvaluateArguments:
    """Flags of an evaluate script."""

    data: str
    """A data set's name or the path of your own data, as for training."""
    model: Path
    """An exported model: a version's folder, or the folder of its versions."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Which examples to evaluate."""
    output: Path | None = None
    """Folder for metrics.json, errors.jsonl and report.html (default: runs/APP/evaluate-TIME)."""


def evaluate_main(
    app_name: str, build_app: Callable[[], App[Config]], description: str | None
) -> None:
    """Evaluates an exported model on any data.

    Prints the metrics as one JSON object on standard output.

    Args:
        app_name: The app's folder name.
        build_app: Makes the app; called after the command line is parsed, as it loads TensorFlow.
        description: The script's docstring, for `--help`.
    """
    default = EvaluateArguments(data=tyro.MISSING, model=Path("saved_models") / app_name)
    arguments = tyro.cli(EvaluateArguments, default=default, description=description or "")
    prepare_tensorflow()
    from shared.export.repository import ModelError

    app = build_app()
    mendable: tuple[type[Exception], ...] = (ConfigError, ModelError, *app.user_errors)
    try:
        result = _evaluate(app, arguments)
    except mendable as error:
        refuse(str(error))
    print(json.dumps(result))


@dataclass(frozen=True)
class _Relabelled:
    """A split whose label indices count in another list of labels."""

    split: Split
    indices: np.ndarray
    classes: int

    @property
    def size(self) -> int:
        return self.split.size

    @property
    def labels(self) -> np.ndarray:
        return self.indices[self.split.labels]

    @property
    def annotations(self) -> Mapping[str, np.ndarray]:
        annotations = self.split.annotations
        if LABEL_SETS not in annotations:
            return annotations
        sets = np.zeros((self.size, self.classes), np.float32)
        sets[:, self.indices] = annotations[LABEL_SETS]
        return {**annotations, LABEL_SETS: sets}

    def read(self, seed: int | None = None) -> "tf.data.Dataset":
        # Imported here, so that --help is answered without loading TensorFlow.
        import tensorflow as tf

        indices = tf.constant(self.indices, tf.int64)
        return self.split.read(seed).map(
            lambda example: {**example, "label": tf.gather(indices, example["label"])}
        )


def relabel(split: Split, labels: Labels, model_labels: Labels) -> Split:
    """The split with label indices as the model counts them; without labels, as it is.

    Raises:
        ConfigError: The data has labels that the model does not know.
    """
    if labels == model_labels or not labels:
        return split
    unknown = sorted(set(labels) - set(model_labels))
    if unknown:
        raise ConfigError(
            f"The data has labels that the model does not know: {unknown}. The model knows "
            f"{list(model_labels)}. Rename or remove them."
        )
    indices = np.array([model_labels.index(label) for label in labels])
    return _Relabelled(split, indices, len(model_labels))


def _evaluate(app: App[Config], arguments: EvaluateArguments) -> dict[str, Any]:
    from shared.export.repository import find_version
    from shared.export.saved_model import load_saved_model

    version = find_version(arguments.model)
    kind = type(app.presets["quick"])
    config = read_config(kind, version / "assets.extra" / "config.json")
    labels, split, problems = app.load_split(replace(config, data=arguments.data), arguments.split)
    print_problems(problems)
    model = load_saved_model(version)
    evaluation = app.evaluate(model, relabel(split, labels, model.labels))
    folder = RunFolder(
        arguments.output or Path("runs") / app.name / time.strftime("evaluate-%Y%m%d-%H%M%S")
    )
    _write(folder, arguments, version, evaluation)
    CONSOLE.print(f"{arguments.split}  {format_metrics(evaluation.metrics)}")
    CONSOLE.print(f"report  {folder.report}")
    return {"app": app.name, "model": str(version), arguments.split: evaluation.metrics}


def _write(
    folder: RunFolder, arguments: EvaluateArguments, version: Path, evaluation: Evaluation
) -> None:
    folder.write_errors(evaluation.errors)
    write_json(folder.path / "metrics.json", {arguments.split: evaluation.metrics})
    title = f"{app_title(version.parent.name)} version {version.name}"
    subtitle = f"{arguments.data}, {arguments.split} examples"
    tiles = metric_tiles(evaluation.metrics)
    write_report(Report(title, subtitle, tiles, evaluation.sections), folder.report)
