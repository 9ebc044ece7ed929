"""Lists the versions of the models in `saved_models/`, and says which of them are served as what.

Labels are written into `models.config`, which TensorFlow Serving (with
`--model_config_file_poll_wait_seconds`) and the local server read again while they run.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, NoReturn

import tyro
from annotated_types import Ge
from google.protobuf import text_format
from rich.console import Console
from rich.table import Table

from shared.export.repository import versions
from shared.files import write_atomically
from shared.serving.config_files import ConfigFileError, ModelServerConfig, read_config

CONFIG = "models.config"
STABLE = "stable"


class RepositoryError(ValueError):
    """What was asked for cannot be done; the message says why."""


@dataclass(frozen=True)
class List:
    """Shows all versions with their labels and test metrics."""

    models: Path = Path("saved_models")
    """The folder of the models."""


@dataclass(frozen=True)
class Promote:
    """Gives a label to a version; requests that name the label are answered by it from then on."""

    app: tyro.conf.Positional[str]
    """The model's name."""
    version: tyro.conf.Positional[int]
    """The version's number."""
    label: str = STABLE
    """Which label."""
    models: Path = Path("saved_models")
    """The folder of the models."""


@dataclass(frozen=True)
class Rollback:
    """Gives a label to the version before the one that has it."""

    app: tyro.conf.Positional[str]
    """The model's name."""
    label: str = STABLE
    """Which label."""
    models: Path = Path("saved_models")
    """The folder of the models."""


@dataclass(frozen=True)
class Prune:
    """Deletes old versions, but none that has a label."""

    app: tyro.conf.Positional[str]
    """The model's name."""
    keep: Annotated[int, Ge(1)] = 2
    """How many of the newest versions stay."""
    models: Path = Path("saved_models")
    """The folder of the models."""


def list_versions(models: Path) -> list[dict[str, Any]]:
    """The versions of all models of `models.config`.

    Returns:
        For each `app`, `version`, `labels` and the `test` metrics.
    """
    return [
        {
            "app": entry.name,
            "version": number,
            "labels": sorted(k for k, value in entry.version_labels.items() if value == number),
            "test": _test_metrics(models / entry.name / str(number)),
        }
        for entry in _read(models).model_config_list.config
        for number in versions(models / entry.name)
    ]


def promote(models: Path, app: str, version: int, label: str = STABLE) -> None:
    """Gives a label to a version.

    Raises:
        RepositoryError: The model or the version is not there.
    """
    config = _read(models)
    entry = _find(config, app)
    present = versions(models / app)
    if version not in present:
        raise RepositoryError(
            f"{app} has no version {version}; it has {', '.join(map(str, present)) or 'none'}."
        )
    entry.version_labels[label] = version
    _write(models, config)


def roll_back(models: Path, app: str, label: str = STABLE) -> int:
    """Gives a label to the version before the one that has it.

    Returns:
        That version.

    Raises:
        RepositoryError: Nothing has the label, or there is no version before.
    """
    labels = _find(_read(models), app).version_labels
    if label not in labels:
        raise RepositoryError(f"no version of {app} is labelled {label}.")
    before = [number for number in versions(models / app) if number < labels[label]]
    if not before:
        raise RepositoryError(f"{app} has no version before {labels[label]}, which is {label}.")
    promote(models, app, before[-1], label)
    return before[-1]


def prune(models: Path, app: str, keep: int) -> list[int]:
    """Deletes all versions but the newest and those with a label.

    Returns:
        What was deleted.

    Raises:
        RepositoryError: The model is not there.
    """
    labelled = set(_find(_read(models), app).version_labels.values())
    old = [number for number in versions(models / app)[:-keep] if number not in labelled]
    for number in old:
        # A server that looks meanwhile sees all of a version or nothing.
        doomed = (models / app / str(number)).rename(models / app / f".deleted-{number}")
        rmtree(doomed)
    return old


def main(command: List | Promote | Rollback | Prune) -> None:
    """Does what the command line says and prints it."""
    try:
        _run(command)
    except (RepositoryError, ConfigFileError) as error:
        _refuse(str(error))


def _run(command: List | Promote | Rollback | Prune) -> None:
    if isinstance(command, Promote):
        promote(command.models, command.app, command.version, command.label)
        print(f"{command.app}: version {command.version} is {command.label}")
    elif isinstance(command, Rollback):
        version = roll_back(command.models, command.app, command.label)
        print(f"{command.app}: version {version} is {command.label}")
    elif isinstance(command, Prune):
        deleted = prune(command.models, command.app, command.keep)
        print(f"{command.app}: deleted {', '.join(map(str, deleted)) or 'nothing'}")
    else:
        _show(list_versions(command.models))


def _show(found: list[dict[str, Any]]) -> None:
    table = Table()
    for column in ("app", "version", "labels", "test"):
        table.add_column(column, overflow="fold")
    for row in found:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in row["test"].items())
        table.add_row(row["app"], str(row["version"]), ", ".join(row["labels"]), metrics)
    Console().print(table)


def _test_metrics(folder: Path) -> dict[str, float]:
    try:
        metrics = json.loads((folder / "assets.extra" / "metrics.json").read_text())["test"]
    except (OSError, ValueError, KeyError):
        return {}  # Not a model of ours; a server may still know it.
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def _read(models: Path) -> Any:
    return read_config(models / CONFIG, ModelServerConfig)


def _find(config: Any, app: str) -> Any:
    for entry in config.model_config_list.config:
        if entry.name == app:
            return entry
    names = ", ".join(entry.name for entry in config.model_config_list.config)
    raise RepositoryError(f"{CONFIG} has no model {app!r}; it has {names}.")


def _write(models: Path, config: Any) -> None:
    """Writes the configuration with the comment at its beginning, which would be lost."""
    lines = (models / CONFIG).read_text(encoding="utf-8").splitlines(keepends=True)
    heading = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    text = text_format.MessageToString(config, as_utf8=True)
    write_atomically(models / CONFIG, "".join(lines[:heading]) + text)


def _refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main(tyro.cli(List | Promote | Rollback | Prune, description=__doc__, default=List()))
