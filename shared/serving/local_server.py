"""The parts of the local server put together: models, REST, gRPC, metrics and the page."""

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import uvicorn
from rich.console import Console
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from shared.serving.batching import read_batching
from shared.serving.config_files import ConfigFileError
from shared.serving.grpc_service import build_grpc_server
from shared.serving.metrics import ServingMetrics
from shared.serving.model_manager import ModelManager, read_models
from shared.serving.page import page_routes
from shared.serving.rest import METRICS_PATH, Limits, RestService
from shared.serving.servable import Servable
from shared.serving.server import ServerOptions

CONSOLE = Console(stderr=True, highlight=False)
GRACE_SECONDS = 30.0
_GZIP_FROM = 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def serve(options: ServerOptions, listener: socket.socket) -> None:
    """Serves until the process is asked to end.

    Args:
        options: What to serve, and how.
        listener: The socket of REST and of the page.

    Raises:
        ConfigFileError: A configuration file cannot be read.
        OSError: The port of gRPC is taken.
    """
    limits = Limits(
        int(options.body_megabytes * 2**20), options.batch_size, options.timeout_seconds
    )
    models, metrics = _build_manager(options), ServingMetrics()
    most_at_once = options.threads + options.queue
    with (
        ThreadPoolExecutor(options.threads, "REST") as rest_threads,
        ThreadPoolExecutor(options.threads, "gRPC") as grpc_threads,
    ):
        rest = RestService(models, metrics, limits, rest_threads, most_at_once)
        grpc_server = build_grpc_server(models, metrics, limits, grpc_threads, most_at_once)
        grpc_port = _bind(grpc_server, options.host, options.grpc_port)
        threading.Thread(target=_load, args=(models, options.poll_seconds), daemon=True).start()
        grpc_server.start()
        _announce(listener.getsockname()[1], grpc_port, options)
        # It ends on SIGTERM and SIGINT, when what it has accepted is answered, and then raises the
        # signal again, which must not end the process before gRPC has done the same.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        uvicorn.Server(_uvicorn_config(build_application(rest, metrics, options.cors))).run(
            sockets=[listener]
        )
        models.stop()
        grpc_server.stop(GRACE_SECONDS).wait()


def build_application(rest: RestService, metrics: ServingMetrics, cors: bool) -> Starlette:
    """REST below `/v1/`, the metrics, and the page at `/`."""

    async def tell_metrics(request: Request) -> Response:
        return Response(metrics.text(), media_type=_PROMETHEUS)

    routes = [
        *page_routes(),
        Route(METRICS_PATH, tell_metrics),
        # `RestService` reads the path itself.
        Route("/{path:path}", _Endpoint(rest), methods=_METHODS),
    ]
    middleware = [Middleware(GZipMiddleware, minimum_size=_GZIP_FROM)]
    if cors:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["POST", "GET"],
                allow_headers=["Content-Type"],
            )
        )
    return Starlette(routes=routes, middleware=middleware)


class _Endpoint:
    """An ASGI application, which a route leaves as it is."""

    def __init__(self, rest: RestService) -> None:
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._rest(Request(scope, receive)))(scope, receive, send)


def _build_manager(options: ServerOptions) -> ModelManager:
    config = options.models / "models.config"
    try:
        read_models(config, options.models)
    except ValueError as error:
        raise ConfigFileError(str(error)) from error
    batching = read_batching(options.models / "batching.config") if options.batching else None
    load = partial(Servable, batching=batching)
    return ModelManager(config, options.models, load, CONSOLE.print)


def _load(models: ModelManager, poll_seconds: float) -> None:
    models.refresh()
    models.watch(poll_seconds)


def _bind(server: grpc.Server, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(
            f"cannot listen at {address} for gRPC. Is another server running? --grpc-port takes "
            "another port."
        ) from error


def _announce(rest_port: int, grpc_port: int, options: ServerOptions) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"page http://{host}:{rest_port}/", flush=True)
    print(f"REST http://{host}:{rest_port}/v1/models", flush=True)
    print(f"gRPC {host}:{grpc_port}", flush=True)


def _uvicorn_config(application: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
    )
