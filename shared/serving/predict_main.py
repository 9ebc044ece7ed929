"""The command line of every predict script."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
from rich.console import Console
from rich.text import Text

from shared.environment import prepare_tensorflow
from shared.export.repository import ModelError, find_version
from shared.serving.client import Model, ServerError, connect
from shared.serving.microphone import MicrophoneError

BATCH = 32
Unprefixed = tyro.conf.arg(name="")
Predict = Callable[..., Sequence[Any]]
"""From inputs, a model and, if the app has them, its options to predictions."""


@dataclass(frozen=True)
class PredictArguments:
    """Flags of a predict script."""

    inputs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[INPUT …]", help_behavior_hint=""),
    ]
    """What to ask about; `-`, or nothing at all, reads it from standard input, one per line."""
    model: Path
    """An exported model: a version's folder, or the folder of its versions."""
    server: str | None = None
    """Ask the server at this URL instead, such as http://localhost:8501 or grpc://localhost:8500."""
    json: bool = False
    """Print one JSON object per input instead of text."""
    interactive: bool = False
    """Ask for inputs and answer each at once; an empty line or Ctrl-D ends."""


def predict_main(app: str, predict: Predict, description: str | None, options: Any = None) -> None:
    """Predicts for the inputs on the command line and prints one line each.

    Exits with status 1 if any input had an error, and 2 if there is no model, no server or nothing
    to ask.

    Args:
        app: The app's folder name, which is the model's name on a server.
        predict: From inputs and a model to predictions, dataclasses with an `error`. Their `str` is
            printed, or in a terminal what `__rich__` gives, which may have colours.
        description: The script's docstring, for `--help`.
        options: Defaults of the app's own flags, a frozen dataclass that `predict` takes; its
            `inputs()`, if it has that, gives further inputs.
    """
    arguments, *chosen = _parse(app, description or "", options)
    _tolerate_any_bytes()
    failed = False
    try:
        inputs = _inputs(arguments, *chosen)
        server = arguments.server
        model = connect(server, app) if server else open_model(arguments.model)
        while batch := list(islice(inputs, 1 if arguments.interactive else BATCH)):
            for prediction in predict(batch, model, *chosen):
                failed |= bool(prediction.error)
                _print(prediction, arguments.json)
    except (ServerError, MicrophoneError) as error:
        _refuse(str(error))
    raise SystemExit(1 if failed else 0)


def _parse(app: str, description: str, options: Any) -> tuple[Any, ...]:
    """The flags that every app has and, if it has any, those of the app."""
    default = PredictArguments(inputs=(), model=Path("saved_models") / app)
    if options is None:
        return (tyro.cli(PredictArguments, default=default, description=description),)

    def parse(arguments: PredictArguments, options: Any) -> tuple[Any, ...]:
        return arguments, options

    parse.__annotations__ = {
        "arguments": Annotated[PredictArguments, Unprefixed],
        "options": Annotated[type(options), Unprefixed],
    }
    parse.__defaults__ = (default, options)
    return tyro.cli(parse, description=description, use_underscores=True)


def open_model(folder: Path) -> Model:
    """Loads an exported model, or says what was looked for and exits with status 2."""
    try:
        version = find_version(folder)
    except ModelError as error:
        _refuse(str(error))
    prepare_tensorflow()
    # Imported here, so that --help and --server do not load TensorFlow.
    from shared.export.saved_model import load_saved_model

    return load_saved_model(version)


def _inputs(arguments: PredictArguments, options: Any = None) -> Iterator[str]:
    """The inputs of the command line, or of the app's options, then those that a person types.

    Exits if there is nothing to read them from.
    """
    if arguments.interactive:
        return chain(_expand(arguments.inputs), _converse())
    further = options.inputs() if hasattr(options, "inputs") else []
    if further:
        return chain(further, _expand(arguments.inputs))
    if not arguments.inputs and sys.stdin.isatty():
        _refuse(
            "nothing to ask about. Pass inputs on the command line or, one per line, on standard "
            "input; or ask in turn with --interactive. --help has all flags."
        )
    return _expand(arguments.inputs or ("-",))


def _expand(inputs: Sequence[str]) -> Iterator[str]:
    for name in inputs:
        if name == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        else:
            yield name


def _converse() -> Iterator[str]:
    with suppress(ImportError):
        import_module("readline")  # Gives `input` arrow keys and a history.
    prompt = "> " if sys.stdout.isatty() else ""
    with suppress(EOFError, KeyboardInterrupt):
        while line := input(prompt).strip():
            yield line
        return
    if prompt:
        print()


def _print(prediction: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(prediction), ensure_ascii=False), flush=True)
        return
    # A string would be searched for markup, and it holds what users write.
    shown = prediction if hasattr(prediction, "__rich__") else Text(str(prediction))
    Console(highlight=False).print(shown, soft_wrap=True)


def _tolerate_any_bytes() -> None:
    """Lets bytes that are no text in through standard input, and out again as escapes.

    Python does the first for the command line; an input is then refused for itself alone.
    """
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def _refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
