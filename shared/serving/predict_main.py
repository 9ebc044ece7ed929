"""The command line of every predict script."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from shared.environment import quiet_tensorflow
from shared.serving.client import Model, RestModel, ServerError

BATCH = 32


@dataclass(frozen=True)
class PredictArguments:
    """Flags of a predict script."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files; `-` reads their paths from standard input, one per line."""
    model: Path
    """An exported model: a version's folder, or the folder of its versions."""
    server: str | None = None
    """Ask the server at this URL instead, such as http://localhost:8501."""
    json: bool = False
    """Print one JSON object per input instead of text."""


def predict_main(
    app: str, predict: Callable[[Sequence[str], Model], Sequence[Any]], description: str | None
) -> None:
    """Predicts for the inputs on the command line and prints one line each.

    Exits with status 1 if any input had an error, and 2 if there is no model or no server.

    Args:
        app: The app's folder name, which is the model's name on a server.
        predict: From inputs and a model to predictions, dataclasses with an `error`.
        description: The script's docstring, for `--help`.
    """
    default = PredictArguments(inputs=tyro.MISSING, model=Path("saved_models") / app)
    arguments = tyro.cli(PredictArguments, default=default, description=description or "")
    failed = False
    try:
        model = _open_model(app, arguments)
        inputs = _expand(arguments.inputs)
        while batch := list(islice(inputs, BATCH)):
            for prediction in predict(batch, model):
                failed |= bool(prediction.error)
                text = json.dumps(dataclasses.asdict(prediction), ensure_ascii=False)
                print(text if arguments.json else prediction, flush=True)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    raise SystemExit(1 if failed else 0)


def read_files(paths: Sequence[str | Path]) -> tuple[list[bytes], list[str]]:
    """Reads files; one that cannot be read is empty and has an error.

    Returns:
        Contents and errors, one each per path; an error is empty or a short code and the reason.
    """
    contents, errors = [], []
    for path in paths:
        try:
            contents.append(Path(path).read_bytes())
            errors.append("")
        except OSError as error:
            contents.append(b"")
            errors.append(f"unreadable: {error.strerror}")
    return contents, errors


def _open_model(app: str, arguments: PredictArguments) -> Model:
    if arguments.server:
        return RestModel(arguments.server, app)
    quiet_tensorflow()
    # Imported here, so that --help and --server do not load TensorFlow.
    from shared.export.saved_model import ModelError, load_saved_model

    try:
        return load_saved_model(arguments.model)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _expand(inputs: Sequence[str]) -> Iterator[str]:
    for name in inputs:
        if name == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        else:
            yield name
