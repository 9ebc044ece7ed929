"""The typed client, over both interfaces, and what it does when a server is busy or gone."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import soundfile
from PIL import Image

from shared.serving import Client
from shared.serving.client import RestModel, ServerError, connect
from tests.made_up import sing
from tests.serving.conftest import ROOT, Server


@pytest.fixture(params=["REST", "gRPC"])
def url(request: pytest.FixtureRequest, apps_server: Server) -> str:
    return apps_server.url if request.param == "REST" else f"grpc://{apps_server.grpc_address}"


def test_every_app_has_its_type_of_answer(url: str, tmp_path: Path) -> None:
    client = Client(url)
    client.wait_ready(seconds=10)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    picture = client.image(tmp_path / "a.png")
    assert (picture.label, picture.error) == ("cat", "")
    assert client.nlp("lovely").label == "positive"
    soundfile.write(tmp_path / "a.wav", sing(["ab"], 16_000), 16_000)
    speech = client.speech(tmp_path / "a.wav")
    assert speech.transcript == "turn on the lamp" and len(speech.words) == 4
    request = client.nlu("turn on the lamp")
    assert request.intent == "turn_on" and request.slots[0].name == "device"


def test_an_input_that_cannot_be_read_has_an_error(url: str, tmp_path: Path) -> None:
    client = Client(url)
    (tmp_path / "a.png").write_text("no picture")
    assert client.image(tmp_path / "a.png").error.startswith("unsupported")
    assert client.image(tmp_path / "none.png").error.startswith("unreadable")
    assert client.nlp("").error.startswith("empty")


def test_a_model_that_is_not_there(url: str) -> None:
    model = connect(url, "none")
    with pytest.raises(ServerError, match="Servable not found for request: Latest.none"):
        model.predict(text=["a"])
    with pytest.raises(ServerError, match=r"not ready after 0\.2 seconds: .*none"):
        model.wait_ready(0.2)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    with pytest.raises(ServerError):
        connect(f"{scheme}://127.0.0.1:9", "nlp", timeout_seconds=5, retries=0).predict(text=["a"])


def test_a_busy_server_is_asked_again_and_a_wrong_request_is_not(serve_http) -> None:
    answers = [(429, b'{"error": "busy"}'), (503, b"{}"), (200, b'{"outputs": {"y": [1]}}')]
    asked = []

    def respond(path: str, body: object) -> tuple[int, bytes]:
        asked.append(path)
        return answers[len(asked) - 1] if len(asked) <= 3 else (400, b'{"error": "wrong"}')

    model = RestModel(serve_http(respond), "app")
    assert model.predict(x=[1]) == {"y": [1]}
    assert len(asked) == 3
    with pytest.raises(ServerError, match="status 400: wrong"):
        model.predict(x=[1])
    assert len(asked) == 4


def test_a_server_that_stays_busy_is_given_up(serve_http) -> None:
    url = serve_http(lambda path, body: (429, b'{"error": "too many"}'))
    with pytest.raises(ServerError, match="status 429: too many"):
        RestModel(url, "app", retries=1).predict(x=[1])


def test_the_client_starts_at_once_and_without_tensorflow(apps_server: Server) -> None:
    program = (
        "import sys, time; start = time.process_time()\n"
        "from shared.serving import Client\n"
        f"answer = Client({apps_server.url!r}).nlp('lovely')\n"
        "print(time.process_time() - start, answer.label, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, label, loads_tensorflow = done.stdout.split()
    assert (label, loads_tensorflow) == ("positive", "False")
    assert float(seconds) < 0.5


def test_a_predict_script_asks_over_grpc(apps_server: Server) -> None:
    address = urlsplit(f"//{apps_server.grpc_address}").netloc
    words = ["-m", "apps.nlp.predict", "lovely", "--server", f"grpc://{address}"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert "positive" in done.stdout and done.returncode == 0
