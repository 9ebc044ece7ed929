"""Asking a model: loaded here, or behind TensorFlow Serving's interfaces."""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Protocol

import orjson
import pybase64

GRPC = "grpc://"
AVAILABLE = "AVAILABLE"
BUSY_STATUS = (429, 503)
FIRST_PAUSE = 0.1
"""Seconds before a busy server is asked again."""
Value = bytes | str | int | float | list[Any]


class ServerError(RuntimeError):
    """A server did not answer, or a model refused the request."""


class Model(Protocol):
    """Something that answers batches."""

    def predict(self, signature: str = "serving_default", **inputs: Any) -> Mapping[str, Any]:
        """Outputs by name for inputs by name, each with the batch as first dimension."""
        ...


class RemoteModel(Model, Protocol):
    """A model on a server."""

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until a version of the model is loaded, or raises `ServerError`."""
        ...


class RestModel:
    """A model behind the REST interface of TensorFlow Serving.

    Args:
        url: Such as `http://localhost:8501`.
        name: The model's name on the server.
        timeout_seconds: Longest wait for one answer.
        retries: How often a server that has too much to do, or is loading the model, is asked
            again, each time after twice the pause.
    """

    def __init__(
        self, url: str, name: str, timeout_seconds: float = 60.0, retries: int = 3
    ) -> None:
        self.url = f"{url.rstrip('/')}/v1/models/{name}"
        self.timeout_seconds = timeout_seconds
        self.retries = retries

    def predict(self, signature: str = "serving_default", **inputs: Any) -> dict[str, list[Any]]:
        """Answers one batch, in the columnar form of the protocol.

        Args:
            signature: Which function to ask.
            **inputs: Its inputs by name; bytes are sent as base64.

        Returns:
            Lists by output name.

        Raises:
            ServerError: No answer, or an error status; holds the server's message.
        """
        body = {
            "signature_name": signature,
            "inputs": {name: [_encode(value) for value in rows] for name, rows in inputs.items()},
        }
        answer = self._send(f"{self.url}:predict", write_request(body), self.retries)
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise ServerError(
                f"{self.url} gave no answer of a model but {str(answer)[:200]!r}. Expected an "
                'object with "outputs": is the URL that of a TensorFlow Serving REST port?'
            )
        return answer["outputs"]

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Waits until the server is there and a version of the model is loaded.

        Raises:
            ServerError: That did not happen in time; holds what the server said last.
        """
        wait_until_ready(self._is_ready, seconds)

    def _is_ready(self) -> bool:
        answer = self._send(self.url, None, 0)
        found = answer.get("model_version_status", []) if isinstance(answer, dict) else []
        return any(version.get("state") == AVAILABLE for version in found)

    def _send(self, url: str, body: bytes | None, retries: int) -> Any:
        for attempt in range(retries + 1):
            try:
                request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code not in BUSY_STATUS or attempt == retries:
                    raise ServerError(f"{url}: status {error.code}: {_message(error)}") from error
                error.close()
                time.sleep(pause_seconds(attempt))
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise ServerError(
                    f"{url} gave no answer ({error}). Is the server running and the model loaded?"
                ) from error
        raise AssertionError("the last attempt returns or raises")


def connect(url: str, name: str, timeout_seconds: float = 60.0, retries: int = 3) -> RemoteModel:
    """A model behind a server.

    Args:
        url: `http://HOST:PORT`, of REST, or `grpc://HOST:PORT`.
        name: The model's name on the server.
        timeout_seconds: Longest wait for one answer.
        retries: How often a server that has too much to do, or is loading the model, is asked
            again, each time after twice the pause.
    """
    if not url.startswith(GRPC):
        return RestModel(url, name, timeout_seconds, retries)
    # Imported here, so that REST needs no TensorFlow.
    from shared.serving.grpc_client import GrpcModel

    return GrpcModel(url.removeprefix(GRPC).rstrip("/"), name, timeout_seconds, retries)


def write_request(body: Mapping[str, Any]) -> bytes:
    """The JSON of a request in columnar form, bytes being base64 already."""
    if all(isinstance(value, dict) for value in chain(*body["inputs"].values())):
        return orjson.dumps(body)
    # The faster writer refuses text with lone surrogates and makes null of not-a-number.
    return json.dumps(body).encode()


def pause_seconds(attempt: int) -> float:
    """How long to wait before asking again, a little at random so that clients do not meet."""
    return FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5)


def wait_until_ready(is_ready: Callable[[], bool], seconds: float) -> None:
    """Asks again and again whether a model is loaded.

    Raises:
        ServerError: It was not in time.
    """
    deadline = time.monotonic() + seconds
    said = "no version of the model is loaded"
    while time.monotonic() < deadline:
        try:
            if is_ready():
                return
        except ServerError as error:
            said = str(error)
        time.sleep(FIRST_PAUSE)
    raise ServerError(f"not ready after {seconds:g} seconds: {said}")


def _encode(value: Value) -> Any:
    if isinstance(value, bytes):
        return {"b64": pybase64.b64encode_as_string(value)}
    return value


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
