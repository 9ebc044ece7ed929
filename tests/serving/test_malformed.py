"""Ten thousand requests that are no requests: the server goes on, and its memory stays flat."""

import base64
import gzip
import http.client
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from tests.serving.conftest import Server

REQUESTS, WARM_UP = 10_000, 2_000
MOST_GROWTH = 64 * 2**20
GOOD = b'{"instances": [{"text": "a", "times": 2, "loud": true}]}'
NAMES = ("scale", "join", "examples", "none", "", "..", "%2e%2e", "a%2fb", "%00", "%ff", "x" * 3000)
METHODS = ("predict", "classify", "regress", "explain", "", "PREDICT", "predict:predict")
CHOICES = ("", "/versions/1", "/versions/99999999999999999999", "/versions/-1", "/labels/stable",
           "/labels/%ff", "/versions/", "/labels/../..")  # fmt: skip

Random = random.Random


def any_bytes(chance: Random) -> bytes:
    return chance.randbytes(chance.randrange(200))


def cut_off(chance: Random) -> bytes:
    return GOOD[: chance.randrange(len(GOOD))]


def with_changed_bytes(chance: Random) -> bytes:
    content = bytearray(GOOD)
    for _ in range(chance.randrange(1, 6)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def nested(chance: Random) -> bytes:
    depth = chance.choice([10, 40, 500, 5000, 100_000])
    mark, end = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return b'{"inputs":' + mark * depth + b"1" + end * depth + b"}"


def huge_number(chance: Random) -> bytes:
    number = chance.choice(["1e999", "-1e400", "9" * 400, "1" * 5000, "NaN", "-Infinity", "1e-999"])
    return f'{{"instances": [[{number}, {number}, 1]]}}'.encode()


def odd_values(chance: Random) -> bytes:
    odd = (None, True, 0, -1, 2**70, 0.5, "", "a", "\ud800", [], {}, [[]], [{}], {"b64": "?"},
           {"b64": None}, {"b64": "YQ", "c": 1}, [1, [2]], "x" * 5000)  # fmt: skip
    keys = ("instances", "inputs", "examples", "signature_name", "context", "x", "text")
    body = {chance.choice(keys): chance.choice(odd) for _ in range(chance.randrange(4))}
    body |= {"instances": [{name: chance.choice(odd) for name in ("text", "times", "loud")}]}
    return json.dumps(body).encode()


def bad_base64(chance: Random) -> bytes:
    text = base64.b64encode(any_bytes(chance)).decode()[chance.randrange(4) :] + chance.choice(
        "?_ ="
    )
    row = {"text": {"b64": text}, "times": 1, "loud": False}
    return json.dumps({"instances": [row]}).encode()


KINDS: tuple[Callable[[Random], bytes], ...] = (
    any_bytes,
    cut_off,
    with_changed_bytes,
    nested,
    huge_number,
    odd_values,
    bad_base64,
)


def path(chance: Random) -> str:
    if chance.random() < 0.6:
        return chance.choice(["/v1/models/join:predict", "/v1/models/scale:predict"])
    name, choice, method = (chance.choice(group) for group in (NAMES, CHOICES, METHODS))
    return f"/v1/models/{name}{choice}:{method}"


def test_malformed_requests_over_rest(server: Server) -> None:
    chance, statuses, memory = Random(0), set(), 0
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    for number in range(REQUESTS):
        if number == WARM_UP:
            memory = resident_bytes(server)
        content = chance.choice(KINDS)(chance)
        headers = {"Content-Type": chance.choice(["application/json", "", "text/html"])}
        if chance.random() < 0.1:
            headers["Content-Encoding"] = "gzip"
            content = chance.choice([content, gzip.compress(content), gzip.compress(content)[:-9]])
        connection.request(chance.choice(["POST", "POST", "POST", "GET", "PUT"]), path(chance),
                           content, headers)  # fmt: skip
        reply = connection.getresponse()
        body = reply.read()
        statuses.add(reply.status)
        # Some of the changes do no harm.
        assert reply.status in (200, 400, 404), (reply.status, body, content[:200])
        assert isinstance(json.loads(body), dict)
    connection.close()
    assert statuses == {200, 400, 404}
    still_answers(server)
    if server.process:
        assert resident_bytes(server) - memory < MOST_GROWTH


def test_malformed_messages_over_grpc(server: Server) -> None:
    chance = Random(0)
    with server.channel() as channel:
        for method in ("Predict", "Classify", "Regress", "GetModelMetadata", "MultiInference", "X"):
            call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
            for _ in range(100):
                # What begins like a model's name, and what does not.
                start = chance.choice([b"", b"\x0a\x07\x0a\x05scale", struct.pack("<I", 10)])
                try:
                    call(start + any_bytes(chance), timeout=60)
                except grpc.RpcError as error:
                    assert error.code() is not grpc.StatusCode.UNAVAILABLE
    still_answers(server)


def still_answers(server: Server) -> None:
    reply = server.ask("/v1/models/join:predict", GOOD)
    assert reply.status == 200 and reply.json["predictions"][0]["joined"] == "A*2"


def resident_bytes(server: Server) -> int:
    if server.process is None:
        return 0
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096
