"""The folder of one training run: configuration, checkpoints, history, mistakes, report."""

import csv
import io
import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared.files import write_atomically
from shared.training.command_line import RunOptions
from shared.training.config import Config, ConfigError, RunConfig, read_config, to_dict

PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn")


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run's folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def finished(self) -> bool:
        return (self.path / "metrics.json").exists()

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Writes `history.csv`, one row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.path / "history.csv", text.getvalue())

    def write_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Writes `errors.jsonl`, one mistake per line, worst first."""
        lines = (json.dumps(error, ensure_ascii=False) + "\n" for error in errors)
        write_atomically(self.path / "errors.jsonl", "".join(lines))


def open_run_folder(app: str, config: Config, options: RunOptions) -> tuple[RunFolder, Config]:
    """The folder of a new run, or with `options.resume` of an unfinished one.

    Returns:
        The folder and the configuration to run: the given one, or that of the resumed run.

    Raises:
        ConfigError: There is nothing to resume, or the named folder already holds a run.
    """
    if options.resume:
        folder = RunFolder(options.run) if options.run else _newest_unfinished(options.runs / app)
        if folder.finished:
            raise ConfigError(f"{folder.path} is finished; start a new run without --resume.")
        return folder, read_config(type(config), folder.config)
    folder = RunFolder(options.run or _new_path(options.runs / app))
    if folder.config.exists():
        raise ConfigError(
            f"--run {folder.path} already holds a run. Pass --resume to go on with it, or another "
            "folder."
        )
    write_json(folder.config, describe(app, config))
    return folder, config


def describe(app: str, config: RunConfig) -> dict[str, Any]:
    """What made a model, as `config.json` has it: configuration, seed, versions, commit."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "app": app,
        "config": to_dict(config),
        "data": config.data,
        "seed": config.seed,
        "versions": versions,
        "git_commit": _git_commit(),
    }


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an indented JSON file, whole or not at all."""
    write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _newest_unfinished(runs: Path) -> RunFolder:
    folders = [RunFolder(path.parent) for path in sorted(runs.glob("*/config.json"))]
    unfinished = [folder for folder in folders if not folder.finished]
    if not unfinished:
        raise ConfigError(f"There is no unfinished run in {runs}; start one without --resume.")
    return unfinished[-1]


def _new_path(runs: Path) -> Path:
    name = time.strftime("%Y%m%d-%H%M%S")
    taken = {path.name for path in runs.glob(f"{name}*")}
    count = 2
    unique = name
    while unique in taken:
        unique, count = f"{name}-{count}", count + 1
    return runs / unique


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
