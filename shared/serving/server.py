"""Serves `saved_models/` as TensorFlow Serving would, with a page to try it."""

import ipaddress
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import tyro

from shared.environment import prepare_tensorflow

_BACKLOG = 128
_LEAST = {
    "threads": 1,
    "op_threads": 0,
    "queue": 0,
    "body_megabytes": 0.001,
    "batch_size": 1,
    "timeout_seconds": 0.001,
    "poll_seconds": 0.01,
}


@dataclass(frozen=True)
class ServerOptions:
    """Flags of the server."""

    models: Path = Path("saved_models")
    """Folder of the models, which has models.config and batching.config."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    rest_port: int = 8501
    """Port of REST and of the page (0 = any free one)."""
    grpc_port: int = 8500
    """Port of gRPC (0 = any free one)."""
    allow_public: bool = False
    """Listen at an address that other machines reach; there is no password and no TLS."""
    batching: bool = False
    """Join the requests of many clients, as batching.config says."""
    cors: bool = False
    """Let pages of other servers ask this one."""
    threads: int = 32
    """Requests that are answered at a time."""
    op_threads: int = 1
    """Threads that share the work of one op (0 = one for each core): several requests, and the
    branches of a model, are computed side by side anyway."""
    queue: int = 100
    """Requests that may wait; those beyond are refused with status 429."""
    body_megabytes: float = 64.0
    """Largest body of a request."""
    batch_size: int = 1000
    """Most rows of a request."""
    timeout_seconds: float = 30.0
    """Longest time for an answer."""
    poll_seconds: float = 1.0
    """How often the folder is looked at for new versions."""


def main(options: ServerOptions) -> None:
    """Serves until it is interrupted, then finishes what it has accepted."""
    _refuse_too_little(options)
    _refuse_public(options)
    _refuse_other_folders(options.models)
    listener = _listen(options)
    prepare_tensorflow(options.op_threads)
    # Imported here, so that --help is answered at once.
    from shared.serving.config_files import ConfigFileError
    from shared.serving.local_server import serve

    try:
        serve(options, listener)
    except (ConfigFileError, OSError) as error:
        _refuse(str(error))


def _refuse_too_little(options: ServerOptions) -> None:
    wrong = [
        f"--{name.replace('_', '-')} is {getattr(options, name)}; expected at least {least}"
        for name, least in _LEAST.items()
        if not getattr(options, name) >= least
    ]
    if wrong:
        _refuse("\n       ".join(wrong))


def _refuse_public(options: ServerOptions) -> None:
    try:
        is_loopback = ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        is_loopback = options.host == "localhost"
    if not is_loopback and not options.allow_public:
        _refuse(
            f"--host {options.host} is reached by other machines, and the server knows neither "
            "passwords nor TLS. Put a proxy that does in front, or pass --allow-public."
        )


def _refuse_other_folders(models: Path) -> None:
    if not (models / "models.config").is_file():
        _refuse(f"{models} holds no models.config. --models takes the folder that does.")


def _listen(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # asyncio sends answers without delay only if the socket names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.rest_port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        _refuse(
            f"cannot listen at {options.host}, port {options.rest_port}: {error}. Is another "
            "server running? --rest-port takes another port."
        )
    return listener


def _refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main(tyro.cli(ServerOptions, description=__doc__))
