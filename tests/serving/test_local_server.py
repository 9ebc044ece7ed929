"""What only our own server is asked: models that come and go, limits, and its end."""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from shared.serving.repository import promote
from tests.serving.conftest import ROOT, Server, start_server
from tests.serving.toy_models import write_scale

SCALE = "/v1/models/scale"
ROW = [1.0, 2.0, 3.0]
SLOW = {"signature_name": "slow", "instances": [ROW]}


def copy(models: Path, folder: Path) -> Path:
    return shutil.copytree(models, folder / "models")


def states(server: Server) -> dict[str, str]:
    found = server.ask(SCALE).json["model_version_status"]
    return {version["version"]: version["state"] for version in found}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def changing(toy_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose models a test may change."""
    models = copy(toy_models, tmp_path_factory.mktemp("changing"))
    shutil.copy(ROOT / "saved_models" / "batching.config", models)
    with start_server(models, "--poll-seconds=0.1", "--batching") as server:
        yield server


@pytest.fixture(scope="module")
def narrow(toy_models: Path) -> Iterator[Server]:
    """A server that accepts little."""
    flags = ("--body-megabytes=0.01", "--batch-size=3", "--threads=1", "--queue=1", "--cors")
    with start_server(toy_models, *flags, "--timeout-seconds=20") as server:
        yield server


def test_a_new_version_is_served_without_a_failed_request(changing: Server) -> None:
    models, stop = changing.models, Event()
    assert models

    def ask() -> list[float]:
        answers = []
        while not stop.is_set():
            reply = changing.ask(f"{SCALE}:predict", {"instances": [[1, 1, 1]]})
            answers.append(reply.json["predictions"][0][0])
        return answers

    with ThreadPoolExecutor(2) as threads:
        clients = [threads.submit(ask) for _ in range(2)]
        try:
            write_scale(models, 3)
            wait_until(lambda: states(changing).get("3") == "AVAILABLE")
            (models / "scale" / "2").rename(models / "scale" / ".gone")
            wait_until(lambda: states(changing).get("2") == "END")
            time.sleep(0.2)
        finally:
            stop.set()
    for client in clients:
        answers = client.result()
        assert answers == sorted(answers) and {answers[0], answers[-1]} == {2.0, 3.0}
    assert changing.ask(f"{SCALE}/versions/2:predict", {"instances": [ROW]}).status == 404


def test_a_version_that_cannot_be_loaded_harms_no_other(changing: Server) -> None:
    assert changing.models
    broken = changing.models / "scale" / "7"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no model")
    wait_until(lambda: states(changing).get("7") == "END")
    [status] = changing.ask(f"{SCALE}/versions/7").json["model_version_status"]
    assert status["status"]["error_code"] == "UNKNOWN" and status["status"]["error_message"]
    assert changing.ask(f"{SCALE}:predict", {"instances": [ROW]}).status == 200


def test_a_label_moves_while_the_server_runs(changing: Server) -> None:
    assert changing.models
    write_scale(changing.models, 5)
    wait_until(lambda: states(changing).get("5") == "AVAILABLE")

    def stable() -> list[float]:
        reply = changing.ask(f"{SCALE}/labels/stable:predict", {"instances": [[1, 1, 1]]})
        return reply.json["predictions"][0]

    assert stable() == [1, 1, 1]
    promote(changing.models, "scale", 5)
    wait_until(lambda: stable() == [5, 5, 5])


def test_a_broken_configuration_changes_nothing(changing: Server) -> None:
    assert changing.models
    config = changing.models / "models.config"
    good = config.read_text()
    config.write_text("no { configuration")
    time.sleep(0.3)
    assert changing.ask(f"{SCALE}/versions/1:predict", {"instances": [ROW]}).status == 200
    config.write_text(good)


def test_joined_requests_each_get_their_own_answer(changing: Server) -> None:
    def ask(number: int) -> bool:
        rows = [[number, row, 0.5] for row in range(1 + number % 3)]
        reply = changing.ask(f"{SCALE}/versions/1:predict", {"instances": rows})
        return reply.json == {"predictions": rows}

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_large_answers_are_compressed_for_those_who_ask(changing: Server) -> None:
    body = {"instances": [[1 / 3, 2 / 3, 4 / 3]] * 60}
    plain = changing.ask(f"{SCALE}/versions/1:predict", body)
    assert plain.status == 200 and "content-encoding" not in plain.headers
    squeezed = changing.ask(f"{SCALE}/versions/1:predict", body, Accept_Encoding="gzip")
    assert squeezed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(squeezed.body) == plain.body


def test_a_request_beyond_the_limits_is_refused(narrow: Server) -> None:
    large = {"instances": [ROW] * 2000}
    reply = narrow.ask(f"{SCALE}:predict", large)
    assert reply.status == 413 and "larger than 10485 bytes" in reply.json["error"]
    squeezed = gzip.compress(json.dumps(large).encode())
    assert len(squeezed) < 10485
    assert narrow.ask(f"{SCALE}:predict", squeezed, Content_Encoding="gzip").status == 413
    reply = narrow.ask(f"{SCALE}:predict", {"instances": [ROW] * 4})
    assert reply.status == 400 and "4 rows; expected at most 3" in reply.json["error"]


def test_requests_beyond_the_queue_are_refused(narrow: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: narrow.ask(f"{SCALE}:predict", SLOW), range(8)))
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {200, 429}
    refused = next(reply for reply in replies if reply.status == 429)
    assert "Too many requests" in refused.json["error"]
    assert narrow.ask(f"{SCALE}:predict", {"instances": [ROW]}).status == 200


def test_other_pages_may_ask_if_they_are_let(narrow: Server, server: Server) -> None:
    for one, allowed in ((narrow, "*"), (server, None)):
        reply = one.ask(SCALE, Origin="http://elsewhere")
        assert reply.headers["Access-Control-Allow-Origin"] == allowed
    asked = {"Origin": "http://elsewhere", "Access_Control_Request_Method": "POST"}
    assert narrow.ask(f"{SCALE}:predict", method="OPTIONS", **asked).status == 200


def test_metrics_have_the_names_of_tensorflow_serving(server: Server) -> None:
    server.ask(f"{SCALE}:predict", {"instances": [ROW]})
    server.ask("/v1/models/no_such_model:predict", {"instances": [ROW]})
    text = server.ask("/monitoring/prometheus/metrics").body.decode()
    assert ':tensorflow:serving:request_count{model_name="scale",status="OK"}' in text
    assert 'API="Predict",entrypoint="REST",le="10.0",model_name="scale"' in text
    # Names that clients make up would fill the memory.
    assert "no_such_model" not in text


def test_a_late_answer_and_the_end(toy_models: Path) -> None:
    with (
        ThreadPoolExecutor(1) as threads,
        start_server(toy_models, "--timeout-seconds=3") as server,
    ):
        late = server.ask(f"{SCALE}:predict", {**SLOW, "signature_name": "slower"})
        assert late.status == 504 and "within 3 seconds" in late.json["error"]
        wait_until(lambda: server.ask(f"{SCALE}:predict", SLOW).status == 200)
        reply = threads.submit(server.ask, f"{SCALE}:predict", SLOW)
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        # What was accepted is answered first.
        assert reply.result().json == {"predictions": [ROW]}
        assert server.process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--host=0.0.0.0",), "--allow-public"),
        (("--host=::",), "--allow-public"),
        (("--models=nowhere",), "models.config"),
        (("--rest-port=99999",), "cannot listen|port"),
    ],
)
def test_what_is_refused_at_the_start(flags: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-m", "shared.serving.server", "--rest-port=0", "--grpc-port=0"]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search(message, done.stderr) and "Traceback" not in done.stderr


def test_files_of_the_page_have_headers_and_folders_do_not_come_at_all(server: Server) -> None:
    reply = server.ask("/")
    assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/static/", "/page.py", "/../server.py", "/%2e%2e/server.py", "/models.config"):
        assert server.ask(path).status == 404
