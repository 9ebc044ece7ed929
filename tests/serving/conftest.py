"""A server of the toy models: our own in a process of its own, or the one that --server names."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

import shared
from tests.serving.toy_apps import write_toy_apps
from tests.serving.toy_models import write_toy_models

ROOT = Path(shared.__file__ or "").parents[1]
GRPC_PORT = 8500


@dataclass(frozen=True)
class Reply:
    """What a server answered over HTTP."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """Where a server listens; `process` and `models` are known of our own alone."""

    url: str
    grpc_address: str
    process: Any = None
    models: Path | None = None

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
        """Sends JSON, or bytes as they are."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Reply(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read(), error.headers)

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.grpc_address)


@contextmanager
def start_server(models: Path, *flags: str) -> Iterator[Server]:
    """Our server on free ports, with its models loaded."""
    command = [sys.executable, "-m", "shared.serving.server", f"--models={models}"]
    command += ["--rest-port=0", "--grpc-port=0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            url = re.search(r"http://[^/]+", lines[0])
            assert url, f"the server said {lines}"
            server = Server(url[0], lines[2].split()[1], process, models)
            wait_for(server, models)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


def wait_for(server: Server, models: Path) -> None:
    """Waits until every model in the folder answers."""
    names = [path.name for path in models.iterdir() if path.is_dir()]
    deadline = time.monotonic() + 120
    while any(server.ask(f"/v1/models/{name}/metadata").status != 200 for name in names):
        assert time.monotonic() < deadline and server.process.poll() is None
        time.sleep(0.1)


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server that conforms: ours, or with `--server URL` any."""
    url = request.config.getoption("--server")
    if url:
        yield Server(url.rstrip("/"), f"{urlsplit(url).hostname}:{GRPC_PORT}")
        return
    with start_server(request.getfixturevalue("toy_models")) as own:
        yield own


@pytest.fixture(scope="session")
def apps_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our server with models that have the signatures of the apps."""
    with start_server(write_toy_apps(tmp_path_factory.mktemp("apps"))) as own:
        yield own


@pytest.fixture(scope="session")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with server.channel() as opened:
        yield opened


@pytest.fixture(scope="session")
def prediction(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def model_service(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)
