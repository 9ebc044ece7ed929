import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.serving.client import RestModel, ServerError, write_request


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Sends `answer` to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def answer_with(status: int, answer: object):
    return lambda path, body: (status, json.dumps(answer).encode())


def test_the_request_is_the_columnar_form_of_the_protocol(serve_http):
    requests = []

    def respond(path, body):
        requests.append((path, body))
        return 200, b'{"outputs": {"label": ["cat", "dog"], "score": [0.75, 1.0]}}'

    model = RestModel(serve_http(respond) + "/", "image_recognition")
    answer = model.predict("described", image_bytes=[b"\xff\xfe\xfd", b""], text=["grün", "b"])
    assert answer == {"label": ["cat", "dog"], "score": [0.75, 1.0]}
    inputs = {"image_bytes": [{"b64": "//79"}, {"b64": ""}], "text": ["grün", "b"]}
    body = {"signature_name": "described", "inputs": inputs}
    assert requests == [("/v1/models/image_recognition:predict", body)]


def test_what_is_no_number_and_no_unicode_reaches_the_server_as_it_is():
    body = {"inputs": {"waveform": [[0.5, float("nan")]], "text": ["a\ud800"]}}
    read = json.loads(write_request(body))["inputs"]
    assert read["text"] == ["a\ud800"] and math.isnan(read["waveform"][0][1])


def test_numbers_and_the_default_signature(serve_http):
    bodies = []

    def respond(path, body):
        bodies.append(body)
        return 200, b'{"outputs": {"sum": [3, -1]}}'

    rows = [[1, 2.5], [0, -1]]
    assert RestModel(serve_http(respond), "app").predict(numbers=rows) == {"sum": [3, -1]}
    assert bodies == [{"signature_name": "serving_default", "inputs": {"numbers": rows}}]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_error_status_carries_the_message_of_the_server(serve_http, status):
    url = serve_http(answer_with(status, {"error": "Servable not found for request: Latest(app)"}))
    expected = f"{url}/v1/models/app:predict: status {status}: Servable not found for request: "
    with pytest.raises(ServerError, match=re.escape(expected + "Latest(app)")):
        RestModel(url, "app").predict(text=["a"])


@pytest.mark.parametrize("page", [b"<html>Bad Gateway</html>", b'"text"', b"[]", b'{"code": 1}'])
def test_an_error_of_something_else_than_the_server_is_shown_as_it_is(serve_http, page):
    url = serve_http(lambda path, body: (502, page))
    with pytest.raises(ServerError, match=re.escape(f"status 502: {page.decode()}")):
        RestModel(url, "app").predict(text=["a"])


@pytest.mark.parametrize(
    "garbage", [b"", b"<html></html>", b"[]", b'"outputs"', b"7", b'{"predictions": [1]}', b"\xff"]
)
def test_a_page_that_is_no_answer(serve_http, garbage):
    url = serve_http(lambda path, body: (200, garbage))
    with pytest.raises(ServerError, match="gave no answer"):
        RestModel(url, "app").predict(text=["a"])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
    ids=["hangs_up", "another_protocol", "cut_off", "bad_chunk"],
)
def test_a_server_that_speaks_something_else(garbage):
    with raw_server(garbage) as url, pytest.raises(ServerError, match="gave no answer"):
        RestModel(url, "app").predict(text=["a"])


def test_no_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ServerError, match=f"{url}.*Is the server running"):
        RestModel(url, "app").predict(text=["a"])


@pytest.mark.parametrize("url", ["localhost", "localhost:8501", "", "ftp:/x", "http://[::1"])
def test_a_url_that_is_none(url):
    with pytest.raises(ServerError, match="gave no answer"):
        RestModel(url, "app").predict(text=["a"])


def test_a_server_that_takes_too_long(serve_http):
    released = threading.Event()

    def respond(path, body):
        released.wait(10)
        return 200, b'{"outputs": {}}'

    model = RestModel(serve_http(respond), "app", timeout_seconds=0.1)
    try:
        with pytest.raises(ServerError, match="timed out"):
            model.predict(text=["a"])
    finally:
        released.set()
