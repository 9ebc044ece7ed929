from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.client import Client as Client


def __getattr__(name: str) -> Any:
    # The client answers in the types of the apps, which stand above what is shared: they are
    # looked up when somebody asks for it.
    if name == "Client":
        return import_module("apps.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
