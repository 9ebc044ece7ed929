"""TensorFlow Serving's REST interface as an ASGI application."""

import asyncio
import json
import logging
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import Response
from tensorflow_serving.apis.model_pb2 import ModelSpec

from shared.serving.examples import classify, read_examples, regress
from shared.serving.metrics import ServingMetrics
from shared.serving.model_manager import ModelManager
from shared.serving.status import HTTP_STATUS, ServingError
from shared.serving.tensor_json import read_predict, write_predict

_LOGGER = logging.getLogger(__name__)
JSON = "application/json"
METRICS_PATH = "/monitoring/prometheus/metrics"
_CHOICE = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_ASK = re.compile(rf"/v1/models/([^/:]+){_CHOICE}:(classify|regress|predict)", re.IGNORECASE)
_TELL = re.compile(rf"/v1/models(?:/([^/:]+){_CHOICE}(/metadata)?)?", re.IGNORECASE)
_LARGEST_VERSION = 2**63 - 1
Body = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What a client may ask of the server."""

    body_bytes: int = 64 * 2**20
    """Largest body of a request, after decompression."""
    batch_size: int = 1000
    """Most rows of a request."""
    timeout_seconds: float = 30.0
    """Longest time for an answer."""


class RestService:
    """Answers HTTP requests below `/v1/`.

    Args:
        models: What is loaded.
        metrics: Where requests are counted.
        limits: What is refused.
        threads: Where requests are answered.
        most_at_once: Requests that are answered and wait at a time; those beyond are refused.
    """

    def __init__(
        self,
        models: ModelManager,
        metrics: ServingMetrics,
        limits: Limits,
        threads: Executor,
        most_at_once: int,
    ) -> None:
        self._models, self._metrics, self._limits = models, metrics, limits
        self._threads, self._free = threads, most_at_once

    async def __call__(self, request: Request) -> Response:
        start = time.perf_counter()
        # The decoded path would not tell a slash in a name from one between names.
        path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
        asked, told = _ASK.fullmatch(path), _TELL.fullmatch(path)
        method = asked[4].lower() if asked else "status"
        spec = ModelSpec()
        try:
            if asked and request.method == "POST":
                spec = _spec(*asked.groups()[:3])
                body = await self._read_body(request)
                answer = await self._in_thread(lambda: self._answer(spec, method, body))
            elif told and request.method in ("GET", "HEAD"):
                spec = _spec(*told.groups()[:3])
                tell = self._metadata if told[4] else self._status
                answer = await self._in_thread(lambda: json.dumps(tell(spec), indent=1).encode())
            else:
                is_malformed = path.lower().startswith("/v1/")
                code = StatusCode.INVALID_ARGUMENT if is_malformed else StatusCode.NOT_FOUND
                raise ServingError(code, f"Malformed request: {request.method} {path}")
            code, status = StatusCode.OK, HTTP_STATUS[StatusCode.OK]
        except ServingError as error:
            code, status, answer = error.code, error.http_status, _write_error(error.message)
        except Exception as error:  # One request's trouble is not that of the others.
            _LOGGER.exception("%s %s", request.method, path)
            code, status = StatusCode.INTERNAL, HTTP_STATUS[StatusCode.INTERNAL]
            answer = _write_error(f"The server failed: {error}")
        known = spec.name if spec.name in self._models.names() else ""
        seconds = time.perf_counter() - start
        self._metrics.count(known, method.title(), "REST", code.name, seconds)
        return Response(answer, status, media_type=JSON)

    async def _read_body(self, request: Request) -> bytes:
        chunks, size, limit = [], 0, self._limits.body_bytes
        is_gzip = "gzip" in request.headers.get("content-encoding", "").lower()
        async for chunk in _decompress(request.stream()) if is_gzip else request.stream():
            size += len(chunk)
            if size > limit:
                raise ServingError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"The body is larger than {limit} bytes; split the batch into several requests",
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                )
            chunks.append(chunk)
        return b"".join(chunks)

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        """Answers in a thread, unless too many requests wait already."""
        if self._free <= 0:
            raise ServingError(
                StatusCode.RESOURCE_EXHAUSTED, "Too many requests are waiting; ask again later"
            )
        self._free -= 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._release)
        await asyncio.wait([future], timeout=self._limits.timeout_seconds)
        if not future.done():
            future.cancel()
            raise ServingError(
                StatusCode.DEADLINE_EXCEEDED,
                f"No answer within {self._limits.timeout_seconds:g} seconds",
            )
        return future.result()

    def _release(self, future: Awaitable[bytes]) -> None:
        self._free += 1

    def _answer(self, spec: ModelSpec, method: str, content: bytes) -> bytes:
        body = _parse(content)
        spec.signature_name = _signature_name(body)
        servable = self._models.find(spec)
        if method == "predict":
            signature = servable.signature(spec.signature_name)
            inputs, by_row = read_predict(body, signature.dtypes)
            self._check_size(max((len(v) if v.ndim else 1 for v in inputs.values()), default=0))
            outputs = servable.answer(spec.signature_name, inputs)
            return json.dumps(write_predict(outputs, by_row)).encode()
        examples = read_examples(body)
        self._check_size(len(body["examples"]))
        if method == "classify":
            found = classify(servable, spec.signature_name, examples).classifications
            rows = [[[entry.label, entry.score] for entry in row.classes] for row in found]
            return json.dumps({"results": rows}).encode()
        values = regress(servable, spec.signature_name, examples).regressions
        return json.dumps({"results": [value.value for value in values]}).encode()

    def _check_size(self, rows: int) -> None:
        if rows > self._limits.batch_size:
            raise ServingError(
                StatusCode.INVALID_ARGUMENT,
                f"The batch has {rows} rows; expected at most {self._limits.batch_size}",
            )

    def _status(self, spec: ModelSpec) -> Body:
        return {"model_version_status": [_show(found) for found in self._models.status(spec)]}

    def _metadata(self, spec: ModelSpec) -> Body:
        servable = self._models.find(spec)
        signatures = {
            name: _show(signature.definition) for name, signature in servable.signatures.items()
        }
        return {
            "model_spec": {
                "name": servable.name,
                "signature_name": "",
                "version": str(servable.version),
            },
            "metadata": {"signature_def": {"signature_def": signatures}},
        }


async def _decompress(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces of at most a mebibyte, so that a small body cannot fill the memory."""
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        async for chunk in stream:
            while chunk and not decompressor.eof:
                yield decompressor.decompress(chunk, 2**20)
                chunk = decompressor.unconsumed_tail
    except zlib.error as error:
        raise ServingError(StatusCode.INVALID_ARGUMENT, f"The body is no gzip: {error}") from None
    if not decompressor.eof:
        raise ServingError(StatusCode.INVALID_ARGUMENT, "The gzip body ends early")


def _spec(name: str | None, version: str | None, label: str | None) -> ModelSpec:
    if not name:
        raise ServingError(StatusCode.INVALID_ARGUMENT, "Missing model name in request.")
    spec = ModelSpec(name=_unquote(name))
    if version:
        if len(version) > 19 or int(version) > _LARGEST_VERSION:
            raise ServingError(
                StatusCode.INVALID_ARGUMENT,
                f"Failed to convert version: {version[:40]} to numeric.",
            )
        spec.version.value = int(version)
    if label:
        spec.version_label = _unquote(label)
    return spec


def _unquote(text: str) -> str:
    # A protocol buffer takes no lone surrogates.
    return unquote(text, errors="replace")


def _parse(content: bytes) -> Body:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = _parse_slowly(content)
    if not isinstance(body, dict):
        raise _malformed(f"expected an object, got {type(body).__name__}")
    return body


def _parse_slowly(content: bytes) -> Any:
    """Reads what is no JSON but known to TensorFlow Serving, such as NaN, and says what is not."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from None


def _write_error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


def _malformed(what: str) -> ServingError:
    return ServingError(StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {what}")


def _signature_name(body: Body) -> str:
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError(StatusCode.INVALID_ARGUMENT, "'signature_name' must be a string")
    return name.encode("utf-8", "replace").decode()


def _show(message: Any) -> Body:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
