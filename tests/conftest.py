"""What tests of several packages share: small models, and a web server on this machine."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

Respond = Callable[[str, Any], tuple[int, bytes]]
GRAMMAR = """
list room
    kitchen | living room | bedroom | hall | attic
list device
    lamp | radio | heater | fan | desk lamp
list time
    seven | (six|eight|nine) thirty | noon
list artist
    the owls | paper boats | anna grey
intent turn_on 40
    turn on the {device} [in the {room}] [please] | [please] switch the {room} {device} on
intent turn_off 40
    turn off the {device} [in the {room}] [please] | [please] switch the {room} {device} off
intent set_alarm 15
    wake me at {time} [please] | [please] set an alarm for {time}
intent play_music 15
    play [something by] {artist} [in the {room}] | i want to hear {artist}
intent out_of_scope 30
    (who|what) is (the president|your name|the capital|love) [today|really|again]
    (sell|buy|find) (a car|some stamps|two tickets) [today|now]
"""


@dataclass(frozen=True)
class FinishedRun:
    """One finished run: the app, its configuration, what `run` returned and where it wrote."""

    app: Any
    config: Any
    result: dict[str, Any]
    saved_models: Path

    @property
    def model(self) -> Path:
        return Path(self.result["path"])

    @property
    def folder(self) -> Path:
        return Path(self.result["run"])


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Digits, a narrow network, seconds of training: read it, never change it."""
    # Imported here, so that tests that need no TensorFlow do not load it.
    from apps.image_recognition.config import PRESETS, AugmentationConfig, ModelConfig
    from apps.image_recognition.train import build_app
    from shared.training.command_line import RunOptions
    from shared.training.config import OptimizerConfig, TrainingConfig
    from shared.training.run import run

    folder = tmp_path_factory.mktemp("image_run")
    # Enough steps that answers depend on the picture; a constant model would pass too many tests.
    config = replace(
        PRESETS["quick"],
        model=ModelConfig(widths=(8, 16), blocks=(0, 1)),
        augmentation=AugmentationConfig(),
        optimizer=OptimizerConfig(learning_rate=0.02),
        training=TrainingConfig(epochs=2, batch_size=16),
    )
    app = build_app()
    options = RunOptions(runs=folder / "runs", saved_models=folder / "saved_models")
    return FinishedRun(app, config, run(app, config, options), options.saved_models)


@pytest.fixture(scope="session")
def image_model(image_run: FinishedRun) -> Any:
    """The exported model of `image_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(image_run.model)


@pytest.fixture(scope="session")
def nlu_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Sentences of `GRAMMAR`, a narrow network, seconds of training: read it, never change it."""
    from apps.nlu.config import PRESETS, ModelConfig
    from apps.nlu.train import build_app
    from shared.training.command_line import RunOptions
    from shared.training.config import OptimizerConfig
    from shared.training.run import run

    folder = tmp_path_factory.mktemp("nlu_run")
    (folder / "own.grammar").write_text(GRAMMAR)
    quick = PRESETS["quick"]
    config = replace(
        quick,
        data=str(folder / "own.grammar"),
        model=ModelConfig(24, 12, 12, (3,), units=24, dropout=0.0),
        # What learns in the fewest steps, whatever the presets are; a model that finds no slots
        # would pass too many tests.
        optimizer=OptimizerConfig(name="adam", learning_rate=0.02, clip_norm=5.0),
        training=replace(quick.training, epochs=4, minimum_steps=200, batch_size=8),
    )
    app = build_app()
    options = RunOptions(runs=folder / "runs", saved_models=folder / "saved_models")
    return FinishedRun(app, config, run(app, config, options), options.saved_models)


@pytest.fixture(scope="session")
def nlu_model(nlu_run: FinishedRun) -> Any:
    """The exported model of `nlu_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(nlu_run.model)


@pytest.fixture
def serve_http() -> Iterator[Callable[[Respond], str]]:
    """Starts web servers that answer POST requests by a function of path and JSON body.

    The function gives the status and the body of the answer; the fixture gives the server's URL.
    """
    with ExitStack() as stack:

        def start(respond: Respond) -> str:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _handler(respond)))
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            thread.start()
            return f"http://127.0.0.1:{server.server_port}"

        yield start


def _handler(respond: Respond) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = respond(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            with suppress(ConnectionError):  # A client that timed out is gone.
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Keeps the output of the tests clean."""

    return Handler
