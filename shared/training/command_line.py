"""The command line of every train script, generated from the app's configuration."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, Literal, NoReturn

import tyro

from shared.training.config import Config, ConfigError, read_config

PresetName = Literal["quick", "best"]
Unprefixed = tyro.conf.arg(name="")


@dataclass(frozen=True)
class RunOptions:
    """Where a run starts from and where it writes; no part of the model."""

    preset: PresetName = "quick"
    """Defaults to start from: minutes, or the highest accuracy."""
    config: Path | None = None
    """Start from the configuration in this file (the config.json of a run or a model) instead."""
    resume: bool = False
    """Go on with the newest unfinished run, or with the one that --run names."""
    run: Path | None = None
    """Folder for checkpoints, history and report (default: runs/APP/TIME)."""
    runs: Path = Path("runs")
    """Where run folders are made."""
    saved_models: Path = Path("saved_models")
    """The repository that the exported model is published in."""


@dataclass(frozen=True)
class Arguments(Generic[Config]):
    """One parsed command line."""

    options: RunOptions
    config: Config


def parse_arguments(
    presets: Mapping[str, Config], description: str, arguments: Sequence[str] | None = None
) -> Arguments[Config]:
    """Parses a train script's command line; prints and exits on `--help` and on errors.

    Args:
        presets: The app's configurations by name, `quick` and `best`.
        description: What the script does, for `--help`.
        arguments: The words to parse; default, those of the process.

    Returns:
        The options and the configuration: that of `--preset`, or of `--config FILE`, changed by
        the other flags.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    kind = type(presets["quick"])
    try:
        base = _base_config(presets, kind, words)
    except ConfigError as error:
        refuse(str(error))
    try:
        parsed = tyro.cli(
            _flags(kind, base),
            args=words,
            description=description,
            use_underscores=True,
        )
    except ConfigError as error:
        refuse(str(error))
    _refuse_config_with_resume(parsed, base)
    return parsed


def refuse(message: str) -> NoReturn:
    """Prints what is wrong on standard error and exits with status 2, as for a wrong flag."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def _flags(kind: type[Config], base: Config) -> Callable[..., Arguments[Config]]:
    """A function whose parameters are the flags; tyro reads them from its annotations."""

    def arguments(options: RunOptions, config: Config) -> Arguments[Config]:
        return Arguments(options, config)

    arguments.__annotations__ = {
        "options": Annotated[RunOptions, Unprefixed],
        "config": Annotated[kind, Unprefixed],
    }
    arguments.__defaults__ = (RunOptions(), base)
    return arguments


def _base_config(presets: Mapping[str, Config], kind: type[Config], words: list[str]) -> Config:
    """The configuration before flags; `--preset` and `--config` decide it, so they come first."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--config", type=Path)
    known, _ = first.parse_known_args(words)
    if known.preset and known.config:
        raise ConfigError("--preset and --config both name a configuration; pass one of them.")
    if known.config:
        return read_config(kind, known.config)
    return presets.get(known.preset or "quick", presets["quick"])


def _refuse_config_with_resume(parsed: Arguments[Config], base: Config) -> None:
    changed = ["--config"] if parsed.options.config else []
    changed += [
        f"--{item.name}"
        for item in dataclasses.fields(base)
        if getattr(parsed.config, item.name) != getattr(base, item.name)
    ]
    if parsed.options.resume and changed:
        refuse(
            f"--resume takes the configuration of the run it goes on with, and {', '.join(changed)}"
            " would change it. Leave those flags out, or start a new run without --resume."
        )
