import base64
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import apps
from apps.nlp.predict import Prediction, PredictOptions, predict
from shared.export.saved_model import SessionModel
from shared.serving.client import RestModel, ServerError

ROOT = Path(apps.__file__).parents[1]
PLAIN = (
    "the kettle is superb",
    "my radio came late, it looks dreadful.",
    "who has seen the lamp in spring?",
)
ODD = {
    "emoji": "🎉 a lovely 👩‍👩‍👧 lamp 👍🏽",
    "curly quotes": "the “kettle” isn’t awful",
    "combining marks": "the ke\u0301ttle is superb",
    "right to left": "הקומקום מצוין",
    "no blanks": "开灯" * 20,
    "control characters": "the\x00lamp\x1b[31m is\r\nbroken",
    "markup": "the [bold]lamp[/bold] is :smile:",
    "one character": "x",
    "long": "the lamp is lovely " * 200,
}
REFUSED = {"": "empty", " \t\n": "empty", "turn \udcff on": "invalid", "\ud83d": "invalid"}
GREEDY = PredictOptions(generate=True, temperature=0.0)


@pytest.fixture(scope="module")
def session_model(nlp_run) -> SessionModel:
    return SessionModel(nlp_run.model)


@pytest.fixture
def serve(serve_http) -> Any:
    """Serves a fixture's model as TensorFlow Serving does, and gives the URL."""

    def start(model: Any) -> str:
        def respond(path: str, body: dict) -> tuple[int, bytes]:
            assert path == "/v1/models/nlp:predict"
            name, inputs = body["signature_name"], body["inputs"]
            if name not in model.signatures:
                return 400, json.dumps({"error": f'signature name: "{name}" not found'}).encode()
            for key in {"text", "prompt"} & set(inputs):
                inputs[key] = [base64.b64decode(row["b64"], validate=True) for row in inputs[key]]
            outputs = model.predict(name, **inputs)
            lists = {name: value.tolist() for name, value in outputs.items()}
            return 200, json.dumps({"outputs": lists}, default=bytes.decode).encode()

        return serve_http(respond)

    return start


def run_predict(*words: object, stdin: bytes = b"", python: tuple[str, ...] = ()):
    words = tuple(word if isinstance(word, bytes) else str(word) for word in words)
    command = [sys.executable, *python, "-m", "apps.nlp.predict", *words]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True)


def assert_same(one: Prediction, other: Prediction) -> None:
    left, right = asdict(one), asdict(other)
    for name in ("score", "perplexity"):
        assert left.pop(name) == pytest.approx(right.pop(name), rel=1e-4, abs=1e-5)
    for name in ("candidates", "words"):
        ours, theirs = left.pop(name), right.pop(name)
        assert [row[:-1] for row in ours] == [row[:-1] for row in theirs]
        np.testing.assert_allclose(*([row[-1] for row in x] for x in (ours, theirs)), atol=1e-5)
    assert left == right


def test_predictions_are_the_answers_of_the_model(nlp_model):
    outputs = nlp_model.predict(text=list(PLAIN))
    predictions = predict(PLAIN, nlp_model)
    assert [p.input for p in predictions] == list(PLAIN)
    assert [p.label for p in predictions] == ["good", "bad", "question"]
    assert [p.label.encode() for p in predictions] == outputs["label"].tolist()
    assert [p.labels for p in predictions] == [(p.label,) for p in predictions]
    for row, prediction in enumerate(predictions):
        names, scores = zip(*prediction.candidates, strict=True)
        assert [name.encode() for name in names] == outputs["labels"][row].tolist()
        np.testing.assert_allclose(scores, outputs["scores"][row])
        assert prediction.score == pytest.approx(scores[0])
        assert (prediction.num_unknown, prediction.words, prediction.error) == (0, (), "")


@pytest.mark.parametrize("kind", ["nlp_model", "session_model"])
def test_odd_texts_have_the_same_answer_alone_and_in_a_batch(kind, request):
    model = request.getfixturevalue(kind)
    texts = [*PLAIN, *ODD.values(), *REFUSED]
    for text, answer in zip(texts, predict(texts, model), strict=True):
        (alone,) = predict([text], model)
        assert_same(alone, answer)
        assert answer.truncated == (text == ODD["long"])
        if text in REFUSED:
            assert answer.error.startswith(f"{REFUSED[text]}: ")
            assert (answer.label, answer.labels, answer.candidates) == ("", (), ())
        else:
            assert answer.error == "" and answer.label and 0 < answer.score <= 1


def test_a_server_gives_the_same_predictions(nlp_model, language_model, serve):
    texts = [*PLAIN, *ODD.values(), *REFUSED]
    cases = [(nlp_model, PredictOptions()), (language_model, PredictOptions())]
    cases += [(nlp_model, PredictOptions(explain=True)), (language_model, GREEDY)]
    for model, options in cases:
        asked = texts[:4] if options.explain else texts
        remote = predict(asked, RestModel(serve(model), "nlp"), options)
        for one, other in zip(remote, predict(asked, model, options), strict=True):
            assert_same(one, other)


def test_the_word_that_decides_is_marked(nlp_model):
    texts = ["we bought the lamp in spring and it is useless", PLAIN[0], ""]
    predictions = predict(texts, nlp_model, PredictOptions(explain=True))
    for prediction, word in zip(predictions[:2], ("useless", "superb"), strict=True):
        text = prediction.input
        assert [text[start:end] for start, end, _ in prediction.words] == text.split()
        start, end, loss = max(prediction.words, key=lambda span: span[2])
        assert text[start:end] == word and loss > 0.3
        (without,) = predict([text.replace(word, "")], nlp_model)
        left = dict(without.candidates)[prediction.label]
        assert loss == pytest.approx(prediction.score - left, abs=1e-5)
        assert re.search(rf"\[{word} \+\d+%\]", str(prediction))
    assert predictions[2].words == () and predictions[2].error


def test_explanations_of_odd_texts_stand_in_them(nlp_model):
    for prediction in predict(list(ODD.values())[:-1], nlp_model, PredictOptions(explain=True)):
        found = [prediction.input[start:end] for start, end, _ in prediction.words]
        assert found == re.findall(r"\w+|[^\w\s]", prediction.input)
        assert all(-1 <= loss <= 1 for *_, loss in prediction.words)


ANSWER = Prediction(
    input="so so\x1b[31m [red]lamp[/red]",
    label="good",
    score=0.8,
    labels=("good",),
    candidates=(("good", 0.8), ("bad", 0.15), ("odd", 0.05), ("even", 0.0)),
    words=(),
    continuation="",
    perplexity=0.0,
    num_tokens=2,
    num_unknown=0,
    truncated=False,
    error="",
)
CLEAN = "so so�[31m [red]lamp[/red]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, f"good 80.0% (or bad 15.0%, odd 5.0%)  {CLEAN}"),
        ({"labels": ("good", "bad")}, f"good 80.0%, bad 15.0% (or odd 5.0%)  {CLEAN}"),
        ({"labels": ()}, f"none (or good 80.0%, bad 15.0%, odd 5.0%)  {CLEAN}"),
        ({"candidates": (("good", 0.8),), "input": "a" * 70}, f"good 80.0%  {'a' * 59}…"),
        (
            {"words": ((0, 2, 0.5), (3, 5, -0.25), (11, 14, 0.12)), "candidates": (("good", 0.8),)},
            "good 80.0%  [so +50%] [so -25%]�[31m [red]lamp[/red]",
        ),
        ({"candidates": (), "perplexity": 12.34}, f"perplexity 12.3  {CLEAN}"),
        ({"candidates": (), "input": "so", "continuation": "so, it is"}, "so, it is"),
        ({"candidates": (), "input": "", "continuation": ""}, ""),
        ({"error": "empty: why", "input": "a" * 70}, f"'{'a' * 59}…': error: empty: why"),
    ],
)
def test_the_text_of_a_prediction(changes, expected):
    answer = replace(ANSWER, **changes)
    assert str(answer) == expected
    console = Console(force_terminal=True, color_system="standard", width=200)
    with console.capture() as capture:
        console.print(answer, soft_wrap=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", capture.get()) == expected + "\n"


def test_a_language_model_scores_and_continues(language_model):
    likely, unlikely = predict(["the lamp is superb", "superb is lamp the"], language_model)
    assert 1 < likely.perplexity < unlikely.perplexity
    assert (likely.label, likely.candidates, likely.num_tokens) == ("", (), 4)
    prompts, short = ["my lamp came late", "", "\udcff"], replace(GREEDY, max_tokens=2)
    late, anything, refused = predict(prompts, language_model, short)
    assert late.continuation == "my lamp came late, it"
    assert (late.num_tokens, 0 < late.score <= 1) == (2, True)
    assert anything.error == "" and anything.num_tokens > 0
    assert refused.error.startswith("invalid: ") and refused.continuation == ""
    drawn = replace(GREEDY, temperature=2.0, max_tokens=4, seed=7)
    first, second = (predict([""] * 5, language_model, drawn) for _ in range(2))
    assert first == second
    assert len({one.continuation for one in first}) > 1
    assert all(one.num_tokens <= 4 for one in first)


def test_a_classifier_does_not_continue_texts(nlp_model, serve):
    with pytest.raises(ServerError, match="no signature 'generate'; .*--task language_model"):
        predict(["the"], nlp_model, GREEDY)
    with pytest.raises(ServerError, match="generate.* not found"):
        predict(["the"], RestModel(serve(nlp_model), "nlp"), GREEDY)


def test_the_command_line_with_a_model(nlp_run, nlp_model):
    words = ("--model", nlp_run.model.parent, "--json", "--explain", PLAIN[0], "", b"\xff on", "-")
    result = run_predict(*words, stdin=f"{PLAIN[1]}\n\n{ODD['emoji']}\n".encode() + b"\xfe\n")
    assert result.returncode == 1, result.stderr
    lines = [json.loads(line) for line in result.stdout.decode().splitlines()]
    texts = [PLAIN[0], "", "\udcff on", PLAIN[1], ODD["emoji"], "\udcfe"]
    assert [line["input"] for line in lines] == texts
    codes = [line["error"].split(":")[0] for line in lines]
    assert codes == ["", "empty", "invalid", "", "", "invalid"]
    options = PredictOptions(explain=True)
    for line, local in zip(lines, predict(texts, nlp_model, options), strict=True):
        for name in ("labels", "candidates", "words"):
            line[name] = tuple(tuple(v) if isinstance(v, list) else v for v in line[name])
        assert_same(Prediction(**line), local)
    assert b"Traceback" not in result.stderr


def test_help_and_servers_need_no_tensorflow(nlp_model, language_model, serve):
    timed = ("-X", "importtime")
    asked = run_predict("--server", serve(nlp_model), "--explain", *PLAIN, python=timed)
    generate = ("--generate", "--temperature", "0", "--max_tokens", "3", "the", "where is")
    made = run_predict("--server", serve(language_model), *generate, python=timed)
    explained = run_predict("--help", python=timed)
    expected = predict(PLAIN, nlp_model, PredictOptions(explain=True))
    assert asked.stdout.decode().splitlines() == list(map(str, expected))
    greedy = predict(["the", "where is"], language_model, replace(GREEDY, max_tokens=3))
    assert made.stdout.decode().splitlines() == list(map(str, greedy))
    assert b"--interactive" in explained.stdout and b"--top_p" in explained.stdout
    for result in (asked, made, explained):
        assert result.returncode == 0, result.stderr[-2000:]
        assert b"shared.serving.client" in result.stderr  # the list of imports is there
        assert b"tensorflow" not in result.stderr and b"keras" not in result.stderr


def test_what_cannot_be_asked_is_said_in_one_line(nlp_model, serve, tmp_path):
    for words in (("--server", serve(nlp_model), "--generate"), ("--model", tmp_path)):
        result = run_predict(*words, "the")
        assert result.returncode == 2 and result.stdout == b""
        (line,) = [x for x in result.stderr.decode().splitlines() if x.startswith("error:")]
        assert "generate" in line or "holds no exported model" in line
        assert b"Traceback" not in result.stderr
