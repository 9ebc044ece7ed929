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

from tests.made_up import GRAMMAR, made_up_texts, write_songs

Respond = Callable[[str, Any], tuple[int, bytes]]
LONG_GROUPS = ("nlp", "speech", "serving", "image", "nlu", "test_resume")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", help="URL of a server of the toy models that tests/serving asks")


@pytest.hookimpl(tryfirst=True)  # Before the plugin that reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets one process run what shares small models: all tests of an app, and of the servers."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    # The long ones first, so that no process is left alone with one at the end.
    places = {group: place for place, group in enumerate(LONG_GROUPS)}
    items.sort(key=lambda item: places.get(_group(item), len(places)))


def _group(item: pytest.Item) -> str:
    """The app that a test is of, the servers, or the file that it is in."""
    package = item.path.parent.name
    if "image_run" in getattr(item, "fixturenames", ()):
        return "image"
    if package == "apps":
        return item.path.stem.split("_")[1]
    return package if package == "serving" else item.path.stem


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


def finish_run(app: Any, config: Any, folder: Path) -> FinishedRun:
    """Runs an app from the configuration to the published model, in a folder of its own."""
    # Imported here, so that tests that need no TensorFlow do not load it.
    from shared.training.command_line import RunOptions
    from shared.training.run import run

    options = RunOptions(runs=folder / "runs", saved_models=folder / "saved_models")
    return FinishedRun(app, config, run(app, config, options), options.saved_models)


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Digits, a narrow network, seconds of training: read it, never change it."""
    from apps.image_recognition.config import PRESETS, AugmentationConfig, ModelConfig
    from apps.image_recognition.train import build_app
    from shared.training.config import OptimizerConfig, TrainingConfig

    # Enough steps that answers depend on the picture; a constant model would pass too many tests.
    config = replace(
        PRESETS["quick"],
        model=ModelConfig(widths=(8, 16), blocks=(0, 1)),
        augmentation=AugmentationConfig(),
        optimizer=OptimizerConfig(learning_rate=0.02),
        training=TrainingConfig(epochs=2, batch_size=16),
    )
    return finish_run(build_app(), config, tmp_path_factory.mktemp("image_run"))


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
    from shared.training.config import OptimizerConfig

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
    return finish_run(build_app(), config, folder)


@pytest.fixture(scope="session")
def nlu_model(nlu_run: FinishedRun) -> Any:
    """The exported model of `nlu_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(nlu_run.model)


@pytest.fixture(scope="session")
def nlp_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A classifier of `made_up_texts`, a narrow network: read it, never change it."""
    from apps.nlp.config import PRESETS, ModelConfig
    from apps.nlp.train import build_app
    from shared.training.config import OptimizerConfig

    folder = tmp_path_factory.mktemp("nlp_run")
    rows = (f'"{text}",{label}' for text, label in made_up_texts())
    (folder / "own.csv").write_text("\n".join(["text,label", *rows]))
    quick = PRESETS["quick"]
    config = replace(
        quick,
        data=str(folder / "own.csv"),
        model=ModelConfig(word_size=12, units=8, dropout=0.0, ngram_bits=12),
        optimizer=OptimizerConfig(name="adam", learning_rate=0.02, clip_norm=5.0),
        training=replace(quick.training, epochs=4, minimum_steps=150, batch_size=16),
    )
    return finish_run(build_app(), config, folder)


@pytest.fixture(scope="session")
def nlp_model(nlp_run: FinishedRun) -> Any:
    """The exported model of `nlp_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(nlp_run.model)


@pytest.fixture(scope="session")
def language_model_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A narrow language model of `made_up_texts`, one per line: read it, never change it."""
    from apps.nlp.config import PRESETS, LanguageModelConfig, ModelConfig
    from apps.nlp.train import build_app
    from shared.training.config import OptimizerConfig

    folder = tmp_path_factory.mktemp("language_model_run")
    (folder / "own.txt").write_text("\n".join(text for text, _ in made_up_texts()))
    quick = PRESETS["quick"]
    config = replace(
        quick,
        data=str(folder / "own.txt"),
        task="language_model",
        model=ModelConfig(word_size=16, units=16),
        # More draws than there are words: the loss is nearly that of the full softmax.
        language_model=LanguageModelConfig(dropout=0.0, sampled_words=128),
        optimizer=OptimizerConfig(name="adam", learning_rate=0.02, clip_norm=5.0),
        training=replace(quick.training, epochs=4, minimum_steps=250, batch_size=16),
    )
    return finish_run(build_app(), config, folder)


@pytest.fixture(scope="session")
def language_model(language_model_run: FinishedRun) -> Any:
    """The exported model of `language_model_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(language_model_run.model)


@pytest.fixture(scope="session")
def random_nlp() -> Callable[..., Any]:
    """Makes narrow networks with random weights: nobody has to wait for training.

    The function takes the classes, none for a language model, and gives a `Trained`.
    """
    import keras
    import numpy as np

    from apps.nlp.config import QUICK, LanguageModelConfig, ModelConfig, TextConfig
    from apps.nlp.model import build_model
    from apps.nlp.preprocess import TextPreprocess
    from shared.training.app import Trained

    def make(*labels: str, words: str, first: int = 3, last: int = 5, **text: Any) -> Trained:
        config = replace(
            QUICK,
            task="classification" if labels else "language_model",
            text=TextConfig(max_tokens=first + last, **text),
            model=ModelConfig(word_size=6, units=5, ngrams=2, ngram_bits=10),
            language_model=LanguageModelConfig(sampled_words=4),
        )
        keras.utils.set_random_seed(0)
        preprocess = TextPreprocess(words.split(), first, last, 2 if labels else 0, 10)
        model = build_model(config, preprocess, labels)
        generator = np.random.default_rng(0)
        model.set_weights([generator.normal(0, 0.7, w.shape) for w in model.get_weights()])
        calibration = {"recurrent_logits": 0.75, "ngram_logits": 0.25}
        return Trained(config, labels, preprocess, model, calibration if labels else {})

    return make


def _finish_speech_run(folder: Path, task: str, most_words: int, **training: Any) -> FinishedRun:
    from apps.speech_recognition.config import PRESETS, AugmentationConfig, ModelConfig
    from apps.speech_recognition.train import build_app
    from shared.training.config import OptimizerConfig

    quick = PRESETS["quick"]
    still = dict.fromkeys(("speed", "noise", "babble", "reverberation"), 0.0)
    still |= dict.fromkeys(("frequency_masks", "time_masks"), 0)
    config = replace(
        quick,
        data=str(write_songs(folder, most_words)),
        task=task,
        audio=replace(quick.audio, sample_rate=8000, mel_bins=24, longest_seconds=20.0),
        model=ModelConfig(filters=4, units=24, layers=1, dropout=0.0),
        augmentation=AugmentationConfig(**still),
        optimizer=OptimizerConfig(name="adam", learning_rate=0.01, clip_norm=5.0),
        training=replace(quick.training, epochs=4, batch_size=16, **training),
    )
    return finish_run(build_app(), config, folder)


@pytest.fixture(scope="session")
def speech_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Transcribes tones that stand for words, a narrow network: read it, never change it."""
    folder = tmp_path_factory.mktemp("speech_run")
    return _finish_speech_run(folder, "transcription", 3, minimum_steps=300)


@pytest.fixture(scope="session")
def speech_model(speech_run: FinishedRun) -> Any:
    """The exported model of `speech_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(speech_run.model)


@pytest.fixture(scope="session")
def keyword_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Tells single tones apart, a narrow network: read it, never change it."""
    folder = tmp_path_factory.mktemp("keyword_run")
    return _finish_speech_run(folder, "keywords", 1, minimum_steps=60)


@pytest.fixture(scope="session")
def keyword_model(keyword_run: FinishedRun) -> Any:
    """The exported model of `keyword_run`, loaded."""
    from shared.export.saved_model import load_saved_model

    return load_saved_model(keyword_run.model)


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
