"""What TensorFlow Serving's REST interface answers, of any server that speaks it."""

import base64
import gzip
import json
import math
import re
from typing import Any

import pytest

SCALE, JOIN, EXAMPLES = (f"/v1/models/{name}" for name in ("scale", "join", "examples"))
ROW = [1.0, 2.0, 3.0]
ROWS = {"text": "a", "times": 2, "loud": True}


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_rows_of_one_input_come_back_as_rows(server) -> None:
    reply = server.ask(f"{SCALE}/versions/2:predict", {"instances": [ROW, [0, -1, 0.5]]})
    assert reply.status == 200
    assert reply.json == {"predictions": [[2.0, 4.0, 6.0], [0.0, -2.0, 1.0]]}
    assert reply.headers["Content-Type"].startswith("application/json")


def test_rows_may_name_their_input(server) -> None:
    reply = server.ask(f"{SCALE}/versions/1:predict", {"instances": [{"x": ROW}]})
    assert reply.json == {"predictions": [ROW]}


def test_columns_of_one_input_come_back_bare(server) -> None:
    for inputs in ([ROW], {"x": [ROW]}):
        reply = server.ask(f"{SCALE}/versions/1:predict", {"inputs": inputs})
        assert reply.json == {"outputs": [ROW]}


def test_rows_of_several_inputs_and_types(server) -> None:
    rows = [ROWS, {"text": b64("é".encode()), "times": 3, "loud": False}]
    [first, second] = server.ask(f"{JOIN}:predict", {"instances": rows}).json["predictions"]
    assert first == {"joined": "A*2", "joined_bytes": b64(b"A*2"), "half": 1.0}
    assert second == {"joined": "é*3", "joined_bytes": b64("é*3".encode()), "half": 1.5}


def test_columns_of_several_inputs(server) -> None:
    inputs = {"text": ["a", "b"], "times": [1, 2], "loud": [False, True], "other": "is ignored"}
    outputs = server.ask(f"{JOIN}:predict", {"inputs": inputs}).json["outputs"]
    assert outputs["joined"] == ["a*1", "B*2"] and outputs["half"] == [0.5, 1.0]


def test_a_signature_is_asked_by_name(server) -> None:
    body = {"signature_name": "total", "inputs": [ROW]}
    assert server.ask(f"{SCALE}:predict", body).json == {"outputs": {"rows": [6.0], "all": 6.0}}


def test_outputs_without_rows_are_refused_in_row_form(server) -> None:
    body = {"signature_name": "total", "instances": [ROW]}
    assert server.ask(f"{SCALE}:predict", body).status == 400


def test_what_is_no_finite_number_goes_through_json(server) -> None:
    body = b'{"signature_name": "total", "inputs": [[NaN, 1, 1], [Infinity, 0, 0]]}'
    found = server.ask(f"{SCALE}:predict", body).json["outputs"]
    assert math.isnan(found["rows"][0]) and found["rows"][1] == math.inf


def test_numbers_have_the_fewest_digits_of_float32(server) -> None:
    reply = server.ask(f"{SCALE}/versions/1:predict", {"instances": [[0.1, 1e-7, 3]]})
    [[*written]] = json.loads(reply.body, parse_float=str)["predictions"]
    assert [float(number) for number in written] == [0.1, 1e-7, 3.0]
    assert len(written[0]) == 3 and written[2] == "3.0"


def test_a_compressed_body(server) -> None:
    body = gzip.compress(json.dumps({"instances": [ROW]}).encode())
    reply = server.ask(f"{SCALE}/versions/1:predict", body, Content_Encoding="gzip")
    assert reply.json == {"predictions": [ROW]}


def test_versions_and_labels(server) -> None:
    for choice, factor in (
        ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1), ("/labels/canary", 2),
        ("", 2),
    ):  # fmt: skip
        reply = server.ask(f"{SCALE}{choice}:predict", {"instances": [ROW]})
        assert reply.json == {"predictions": [[factor * x for x in ROW]]}


def test_paths_do_not_depend_on_case(server) -> None:
    reply = server.ask("/V1/Models/scale:PREDICT", {"instances": [ROW]})
    assert reply.status == 200


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "no JSON": (f"{SCALE}:predict", b"{", 400, "JSON Parse error"),
    "a list": (f"{SCALE}:predict", [], 400, "JSON Parse error|object"),
    "neither form": (f"{SCALE}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    "both forms": (f"{SCALE}:predict", {"inputs": [ROW], "instances": [ROW]}, 400, "'inputs'"),
    "no rows": (f"{SCALE}:predict", {"instances": []}, 400, "instances"),
    "ragged": (f"{SCALE}:predict", {"instances": [ROW, [1]]}, 400, "size: 3 but got: 1"),
    "a wrong shape": (f"{SCALE}:predict", {"instances": [[1.0]]}, 400, ""),
    "a wrong type": (f"{SCALE}:predict", {"instances": [["a", "b", "c"]]}, 400, ""),
    "a missing input": (f"{JOIN}:predict", {"inputs": {"text": ["a"]}}, 400, "Missing named input"),
    "a row without an input": (f"{JOIN}:predict", {"instances": [{"text": "a"}]}, 400, ""),
    "a decimal": (f"{JOIN}:predict", {"instances": [{**ROWS, "times": 1.5}]}, 400, ""),
    "out of range": (f"{JOIN}:predict", {"instances": [{**ROWS, "times": 2**40}]}, 400, ""),
    "bad base64": (f"{JOIN}:predict", {"instances": [{**ROWS, "text": {"b64": "?"}}]}, 400, ""),
    "what the model refuses": (f"{SCALE}:predict", b'{"instances": [[NaN, 0, 0]]}', 400, "finite"),
    "no such signature": (
        f"{SCALE}:predict",
        {"signature_name": "none", "instances": [ROW]},
        400,
        'ignature.*"none"',
    ),
    "no such model": ("/v1/models/none:predict", {"instances": [ROW]}, 404, "Servable not found"),
    "no such version": (f"{SCALE}/versions/9:predict", {"instances": [ROW]}, 404, "not found"),
    "no such method": (f"{SCALE}:explain", {"instances": [ROW]}, 400, "Malformed request: POST"),
    "classify without examples": (f"{EXAMPLES}:classify", {"instances": [ROW]}, 400, "examples"),
    "classify by such a signature": (f"{SCALE}:classify", {"examples": [{"x": 1.0}]}, 400, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(server, name: str) -> None:
    path, body, status, message = REFUSED[name]
    reply = server.ask(path, body)
    assert reply.status == status
    assert list(reply.json) == ["error"]
    assert reply.json["error"] and re.search(message, reply.json["error"])


def test_classify(server) -> None:
    body = {"examples": [{"x": 0.25}, {"x": [0.75]}]}
    found = server.ask(f"{EXAMPLES}:classify", body).json["results"]
    assert found == [[["low", 0.75], ["high", 0.25]], [["low", 0.25], ["high", 0.75]]]


def test_regress_with_a_context(server) -> None:
    body = {"signature_name": "regress", "context": {"x": 0.5}, "examples": [{}, {"x": 1.5}]}
    assert server.ask(f"{EXAMPLES}:regress", body).json == {"results": [5.0, 15.0]}


def test_status(server) -> None:
    ready = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    found = server.ask(SCALE).json["model_version_status"]
    assert found == [{"version": "2", **ready}, {"version": "1", **ready}]
    for choice in ("/versions/1", "/labels/stable"):
        [status] = server.ask(SCALE + choice).json["model_version_status"]
        assert status["version"] == "1"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/none", 404, "Could not find any versions of model none"),
        (f"{SCALE}/versions/9", 404, "Could not find version 9 of model scale"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/other", 400, "Malformed request: GET /v1/other"),
        (f"{SCALE}:predict", 400, "Malformed request: GET"),
    ],
)
def test_a_status_that_is_not_there(server, path: str, status: int, message: str) -> None:
    reply = server.ask(path)
    assert reply.status == status and message in reply.json["error"]


def test_metadata(server) -> None:
    found = server.ask(f"{SCALE}/versions/1/metadata").json
    assert found["model_spec"] == {"name": "scale", "signature_name": "", "version": "1"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    [(name, x)] = signature["inputs"].items()
    assert (name, x["dtype"]) == ("x", "DT_FLOAT")
    sizes = [dim["size"] for dim in x["tensor_shape"]["dim"]]
    assert sizes == ["-1", "3"] and x["tensor_shape"]["unknown_rank"] is False


def test_a_path_elsewhere_is_not_found(server) -> None:
    assert server.ask("/somewhere").status == 404
