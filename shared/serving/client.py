"""Asking a model: loaded here, or behind TensorFlow Serving's REST interface."""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

Value = bytes | str | int | float | list[Any]


class ServerError(RuntimeError):
    """A server did not answer, or a model refused the request."""


class Model(Protocol):
    """Something that answers batches."""

    def predict(self, signature: str = "serving_default", **inputs: Any) -> Mapping[str, Any]:
        """Outputs by name for inputs by name, each with the batch as first dimension."""
        ...


class RestModel:
    """A model behind the REST interface of TensorFlow Serving.

    Args:
        url: Such as `http://localhost:8501`.
        name: The model's name on the server.
        timeout_seconds: Longest wait for one answer.
    """

    def __init__(self, url: str, name: str, timeout_seconds: float = 60.0) -> None:
        self.url = f"{url.rstrip('/')}/v1/models/{name}:predict"
        self.timeout_seconds = timeout_seconds

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
        answer = self._post(json.dumps(body).encode())
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise ServerError(
                f"{self.url} gave no answer of a model but {str(answer)[:200]!r}. Expected an "
                'object with "outputs": is the URL that of a TensorFlow Serving REST port?'
            )
        return answer["outputs"]

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self.url, body, headers)
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ServerError(f"{self.url}: status {error.code}: {_message(error)}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServerError(
                f"{self.url} gave no answer ({error}). Is the server running and the model loaded?"
            ) from error


def _encode(value: Value) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
