import base64
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import apps
from apps.nlu.predict import Prediction, Slot, predict
from shared.export.saved_model import SessionModel
from shared.serving.client import RestModel

ROOT = Path(apps.__file__).parents[1]
PLAIN = (
    "turn on the desk lamp in the attic",
    "wake me at six thirty please",
    "play something by paper boats in the living room",
    "who is the president today",
)
ODD = {
    "emoji": "🎉 turn on the 👩‍👩‍👧 lamp in the 👍🏽 kitchen",
    "curly quotes": "play “paper boats” in the bedroom’s hall",
    "Cyrillic capitals": "ВКЛЮЧИ СВЕТ НА КУХНЕ",
    "combining marks": "turn on the de\u0301sk lamp in the attic",
    "right to left": "הדלק את האור במטבח",
    "no blanks": "开灯" * 20,
    "control characters": "turn on\x00the\x1b[31m lamp\r\nin the hall",
    "markup": "turn on the [bold]lamp[/bold] :smile:",
    "punctuation": "?!… — ,.",
    "one character": "x",
}
REFUSED = {
    "": "empty",
    " \t\n": "empty",
    "lamp " * 2000: "too_long",
    "turn \udcff on": "invalid",
    "\ud83d": "invalid",
}


@pytest.fixture(scope="module")
def session_model(nlu_run) -> SessionModel:
    return SessionModel(nlu_run.model)


@pytest.fixture
def url(nlu_model, serve_http) -> str:
    """A server that answers with the fixture's model as TensorFlow Serving does."""

    def respond(path: str, body: dict) -> tuple[int, bytes]:
        assert path == "/v1/models/nlu:predict" and list(body["inputs"]) == ["text"]
        texts = [base64.b64decode(row["b64"], validate=True) for row in body["inputs"]["text"]]
        outputs = nlu_model.predict(body["signature_name"], text=texts)
        lists = {name: value.tolist() for name, value in outputs.items()}
        return 200, json.dumps({"outputs": lists}, default=bytes.decode).encode()

    return serve_http(respond)


def run_predict(*words: object, stdin: bytes = b"", python: tuple[str, ...] = ()):
    words = tuple(word if isinstance(word, bytes) else str(word) for word in words)
    command = [sys.executable, *python, "-m", "apps.nlu.predict", *words]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True)


class Terminal:
    """The script in a terminal, as a person sees it."""

    def __init__(self, *words: str, **environment: str) -> None:
        master, slave = pty.openpty()
        inherited = {name: os.environ[name] for name in os.environ if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apps.nlu.predict", *words],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=inherited | {"TERM": "xterm-256color"} | environment,
        )
        os.close(slave)
        self.master, self.shown = master, b""

    def read_to(self, mark: bytes) -> str:
        """What is shown up to the mark, or up to the end of the script."""
        while not self.shown.endswith(mark) or not mark:
            try:
                self.shown += os.read(self.master, 1024)
            except OSError:  # Linux says so that the other end is closed.
                break
        text, self.shown = self.shown.decode(), b""
        return text

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def finish(self) -> tuple[str, int]:
        """The rest of what is shown, and the exit status."""
        text = self.read_to(b"")
        os.close(self.master)
        return text, self.process.wait()


def without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def assert_same(one: Prediction, other: Prediction) -> None:
    texts = [
        (p.input, p.intent, p.error, [(s.name, s.value, s.start, s.end) for s in p.slots])
        for p in (one, other)
    ]
    assert texts[0] == texts[1]
    for name in ("intent_score", "intent_scores", "out_of_scope_score"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5)
    scores = [[slot.score for slot in p.slots] for p in (one, other)]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_predictions_are_the_answers_of_the_model(nlu_model):
    outputs = nlu_model.predict(text=list(PLAIN))
    predictions = predict(PLAIN, nlu_model)
    assert [p.input for p in predictions] == list(PLAIN)
    assert [p.intent.encode() for p in predictions] == outputs["intent"].tolist()
    assert [p.intents[0].encode() for p in predictions] == outputs["intents"][:, 0].tolist()
    np.testing.assert_allclose([p.intent_scores for p in predictions], outputs["intent_scores"])
    assert [len(p.slots) for p in predictions] == outputs["num_slots"].tolist()
    assert sum(len(p.slots) for p in predictions) > 0
    for row, prediction in enumerate(predictions):
        values = [slot.value.encode() for slot in prediction.slots]
        assert values == outputs["slot_values"][row][: len(values)].tolist()


def test_sentences_are_understood(nlu_model):
    alarm, music = predict(PLAIN[1:3], nlu_model)
    assert (alarm.intent, music.intent) == ("set_alarm", "play_music")
    assert [(slot.name, slot.value) for slot in alarm.slots] == [("time", "six thirty")]
    assert str(alarm).split("  ")[1].startswith("wake me at [six thirty](time")


@pytest.mark.parametrize("kind", ["nlu_model", "session_model"])
def test_odd_sentences_have_the_same_answer_alone_and_in_a_batch(kind, request):
    model = request.getfixturevalue(kind)
    sentences = [*PLAIN, *ODD.values(), *REFUSED]
    together = predict(sentences, model)
    for sentence, answer in zip(sentences, together, strict=True):
        (alone,) = predict([sentence], model)
        assert_same(alone, answer)
        assert answer.input == sentence
        for slot in answer.slots:
            assert sentence[slot.start : slot.end] == slot.value
        if sentence in REFUSED:
            assert answer.error.startswith(f"{REFUSED[sentence]}: ")
            assert (answer.intent, answer.slots, answer.intent_score) == ("", (), 0.0)
        else:
            assert answer.error == "" and answer.intent and 0 < answer.intent_score <= 1


def test_positions_count_code_points(nlu_model):
    plain, moved = predict([PLAIN[1], f"🎉👍🏽 {PLAIN[1]}"], nlu_model)
    (slot,) = plain.slots
    assert PLAIN[1][slot.start : slot.end] == slot.value == "six thirty"
    assert all(f"🎉👍🏽 {PLAIN[1]}"[s.start : s.end] == s.value for s in moved.slots)


def test_a_server_gives_the_same_predictions(nlu_model, url):
    sentences = [*PLAIN, *ODD.values(), *REFUSED]
    answers = zip(
        predict(sentences, RestModel(url, "nlu")), predict(sentences, nlu_model), strict=True
    )
    for remote, local in answers:
        assert_same(remote, local)


def answer_of(sentence: str, intent: str, score: float, *slots: Slot) -> Prediction:
    return Prediction(sentence, intent, score, ("on", "off"), (0.8, 0.2), 0.1, slots, "")


def test_the_text_of_a_prediction():
    slots = (Slot("time", "noon", 3, 7, 0.95), Slot("room", "hall", 15, 19, 0.5))
    sure = answer_of("at noon in the hall now", "on", 0.99, *slots)
    assert str(sure) == "on 99.0%  at [noon](time) in the [hall](room 50.0%) now"
    assert str(answer_of("x", "on", 0.8)) == "on 80.0% (or off 20.0%)  x"
    outside = answer_of("at noon", "out_of_scope", 0.7, slots[0])
    assert str(outside) == "out_of_scope 70.0%  at noon  (nearest: on 80.0%, off 20.0%)"
    refused = Prediction("a" * 100, "", 0.0, ("", ""), (0.0, 0.0), 0.0, (), "too_long: why")
    assert str(refused) == f"'{'a' * 59}…': error: too_long: why"


def test_control_characters_and_markup_of_a_sentence_are_shown_not_obeyed():
    sentence = "\x1b[31mat noon\n [red]in[/red] :smile:"
    answer = answer_of(sentence, "on", 0.99, Slot("time", "noon", 8, 12, 0.95))
    expected = "on 99.0%  �[31mat [noon](time)� [red]in[/red] :smile:"
    console = Console(force_terminal=True, color_system="standard", width=200)
    with console.capture() as capture:
        console.print(answer, soft_wrap=True)
    assert str(answer) == expected
    assert without_colors(capture.get()) == expected + "\n"


def test_a_slot_name_has_one_colour():
    def styles(name: str, start: int) -> list[str]:
        slot = Slot(name, "a", start, start + 1, 1.0)
        return [str(span.style) for span in answer_of("a a a", "on", 1.0, slot).__rich__().spans]

    assert styles("time", 0) == styles("time", 4)
    assert len({tuple(styles(f"slot {number}", 0)) for number in range(40)}) > 4


def test_the_command_line_with_a_model(nlu_run, nlu_model):
    words = ("--model", nlu_run.model.parent, "--json", PLAIN[0], "", b"\xff on", "-")
    result = run_predict(*words, stdin=f"{PLAIN[1]}\n\n{ODD['emoji']}\n".encode() + b"\xfe\n")
    assert result.returncode == 1, result.stderr
    lines = [json.loads(line) for line in result.stdout.decode().splitlines()]
    sentences = [PLAIN[0], "", "\udcff on", PLAIN[1], ODD["emoji"], "\udcfe"]
    assert [line["input"] for line in lines] == sentences
    codes = [line["error"].split(":")[0] for line in lines]
    assert codes == ["", "empty", "invalid", "", "", "invalid"]
    for line, local in zip(lines, predict(sentences, nlu_model), strict=True):
        slots = tuple(Slot(**slot) for slot in line.pop("slots"))
        assert_same(Prediction(**line, slots=slots), local)
    assert b"Traceback" not in result.stderr


def test_help_and_servers_need_no_tensorflow(url, nlu_model):
    asked = run_predict("--server", url, *PLAIN, python=("-X", "importtime"))
    explained = run_predict("--help", python=("-X", "importtime"))
    assert asked.stdout.decode().splitlines() == list(map(str, predict(PLAIN, nlu_model)))
    assert b"--interactive" in explained.stdout
    for result in (asked, explained):
        assert result.returncode == 0, result.stderr[-2000:]
        assert b"shared.serving.client" in result.stderr  # the list of imports is there
        assert b"tensorflow" not in result.stderr and b"keras" not in result.stderr


def test_without_inputs_standard_input_is_read(url, nlu_model):
    result = run_predict("--server", url, stdin="\n".join(PLAIN).encode())
    assert result.returncode == 0
    assert result.stdout.decode().splitlines() == list(map(str, predict(PLAIN, nlu_model)))


def test_without_inputs_a_terminal_is_told_what_to_do():
    text, status = Terminal().finish()
    assert status == 2 and "error: nothing to ask about" in text and "Traceback" not in text


def test_a_conversation(url, nlu_model):
    terminal = Terminal("--server", url, "--interactive")
    shown = terminal.read_to(b"> ")
    for sentence in PLAIN[:2]:
        terminal.type(sentence.encode() + b"\n")
        shown += terminal.read_to(b"> ")
    terminal.type(b"\x04")
    rest, status = terminal.finish()
    answers = predict(PLAIN[:2], nlu_model)
    for answer in answers:
        assert f"> {answer.input}\r\n{answer}\r\n" in without_colors(shown)
    assert status == 0 and rest.endswith("\n")
    assert "\x1b[1m" in shown


def test_no_colour_where_none_is_wanted(url):
    terminal = Terminal("--server", url, "--interactive", NO_COLOR="1")
    terminal.read_to(b"> ")
    terminal.type(PLAIN[1].encode() + b"\n")
    shown = terminal.read_to(b"> ")
    terminal.type(b"\n")
    assert terminal.finish()[1] == 0
    assert "[six thirty](time" in without_colors(shown)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


def test_a_conversation_through_a_pipe_is_only_answers(url):
    words = ("--server", url, "--interactive", "--json")
    result = run_predict(*words, stdin=f"{PLAIN[0]}\n{PLAIN[1]}\n\n{PLAIN[2]}\n".encode())
    inputs = [json.loads(line)["input"] for line in result.stdout.decode().splitlines()]
    assert result.returncode == 0, result.stderr
    assert inputs == list(PLAIN[:2])  # The empty line is the end.
