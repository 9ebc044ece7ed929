"""The page to try the models: plain files, each with the headers that keep a browser strict."""

from collections.abc import Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "models.js": "text/javascript",
    "sound.js": "text/javascript",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src *; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """The page at `/` and its files; nothing else of the folder can be asked for."""
    folder = files("shared.serving") / "static"
    contents = {name: (folder / name).read_bytes() for name in _TYPES}
    routes = [
        Route(f"/{name}", _answer(content, _TYPES[name])) for name, content in contents.items()
    ]
    return [Route("/", _answer(contents["index.html"], "text/html")), *routes]


def _answer(content: bytes, media_type: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return answer
