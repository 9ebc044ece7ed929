"""What an exported model answers, row by row, also to texts that nobody should send."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from apps.nlu.config import QUICK, ModelConfig
from apps.nlu.export import SIGNATURES, build_signatures, reference
from apps.nlu.train import build_app
from shared.export.saved_model import ServedModel, load_saved_model
from shared.training.app import Trained
from shared.training.command_line import RunOptions
from shared.training.config import OptimizerConfig
from shared.training.reproducibility import prepare_process
from shared.training.run import export, train
from shared.training.run_folder import open_run_folder

SMALL = replace(
    QUICK,
    model=ModelConfig(
        word_size=16,
        character_size=8,
        character_filters=8,
        character_widths=(3,),
        units=16,
        dropout=0.0,
    ),
    optimizer=OptimizerConfig(name="adam", learning_rate=0.02, clip_norm=5.0),
    training=replace(QUICK.training, epochs=1, minimum_steps=80, batch_size=16),
)
LABELS = ("out_of_scope", "play", "weather")
CITIES = ("Paris", "New York", "São Paulo", "МОСКВА", "東京", "o'hare")
TEXTS: dict[str, str | bytes] = {
    "plain": "weather in New York today",
    "upper": "WEATHER IN NEW YORK TODAY",
    "empty": "",
    "straight": "what's the weather in o'hare",
    "curly": "what’s the weather in o’hare",
    "spaces": " \t\u3000\n\u200b",
    "latin_1": "café in Paris".encode("latin-1"),
    "cyrillic": "weather in МОСКВА today",
    "cyrillic_lower": "weather in москва today",
    "ten_thousand": "weather " * 1250,
    "one_long_word": "x" * 10_000,
    "two_wrongs": b"\xff" * 2000,
    "limit": "to " * 333 + "x",
    "emoji": "  play 😀 👨\u200d👩\u200d👧 🇩🇪 e\u0301te\u0301, weather in São Paulo",
    "surrogate": b"play \xed\xa0\x80",
    "nul": "play \0 song",
    "mark": "\u0301",
    "word": "play",
}
ERRORS = {
    "empty": "empty: the text has no words",
    "spaces": "empty: the text has no words",
    "latin_1": "invalid: the text is not UTF-8",
    "two_wrongs": "invalid: the text is not UTF-8",
    "surrogate": "invalid: the text is not UTF-8",
    "ten_thousand": "too_long: the text has more characters than the 1000 that the model reads",
    "one_long_word": "too_long: the text has more characters than the 1000 that the model reads",
}
BYTES = [text.encode() if isinstance(text, str) else text for text in TEXTS.values()]
GOOD = np.array([name not in ERRORS for name in TEXTS])
SLOTS = ("slot_names", "slot_values", "slot_starts", "slot_ends", "slot_scores")


def write_sentences(path: Path, with_slots: bool) -> Path:
    rows = []
    for number in range(48):
        city, song = CITIES[number % len(CITIES)], f"song {number}"
        for text, intent, name, value in (
            (f"weather in {city} today", "weather", "city", city),
            (f"play {song} now", "play", "song", song),
            (f"why {number} because", "out_of_scope", "", ""),
        ):
            start = text.find(value)
            slot = {"name": name, "start": start, "end": start + len(value)}
            slots = [slot] if with_slots and name else []
            rows.append({"text": f"{text} {number}", "intent": intent, "slots": slots})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("data") / "own.jsonl", with_slots=True)


@pytest.fixture(scope="module")
def trained(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    app, config = build_app(), replace(SMALL, data=str(sentences))
    prepare_process(config)
    options = RunOptions(runs=tmp_path_factory.mktemp("runs"))
    folder, _ = open_run_folder(app.name, config, options)
    return train(app, config, app.load(config), folder)[0]


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written, verified in Python and in a session, and published."""
    app = build_app()
    served = ServedModel(build_signatures(trained), trained.labels, trained.calibration)
    splits = app.load(trained.config).splits
    return export(app, trained, served, splits, {}, tmp_path_factory.mktemp("saved_models"))


@pytest.fixture(scope="module")
def model(exported: Path) -> ServedModel:
    return load_saved_model(exported)


@pytest.fixture(scope="module")
def answers(model: ServedModel) -> dict[str, np.ndarray]:
    return model.predict(text=BYTES)


def assert_same_row(
    one: dict[str, np.ndarray], row: int, other: dict[str, np.ndarray], place: int
) -> None:
    """Equal, but for the number of columns that other rows of the batch need."""
    count = one["num_slots"][row]
    for name, values in one.items():
        left, right = values[row], other[name][place]
        if name in SLOTS:
            left, right = left[:count], right[:count]
        if values.dtype == np.float32:
            np.testing.assert_allclose(left, right, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(left, right, err_msg=name)


def test_shapes_and_types_are_those_of_the_signature(answers):
    sizes = {"batch": len(BYTES), "classes": 3, "k": 2, "slots": answers["slot_names"].shape[1]}
    expected = SIGNATURES["serving_default"].outputs
    assert set(answers) == set(expected)
    for name, tensor in expected.items():
        assert answers[name].shape == tuple(sizes[part] for part in tensor.dimensions.split())
        assert answers[name].dtype == (object if tensor.dtype == "string" else tensor.dtype), name


def test_every_row_has_an_answer_or_its_own_error(answers):
    found = {name: error.decode() for name, error in zip(TEXTS, answers["error"], strict=True)}
    assert {name: error for name, error in found.items() if error} == ERRORS
    assert np.all((answers["intent"] != b"") == GOOD)
    for name in ("intents", "slot_names", "slot_values"):
        assert np.all(answers[name][~GOOD] == b""), name
    for name in ("intent_scores", "probabilities", "out_of_scope_score", "slot_scores"):
        assert not np.any(answers[name][~GOOD]), name
    assert not np.any(answers["num_slots"][~GOOD])


def test_scores_are_probabilities_in_order(answers):
    probabilities, scores = answers["probabilities"][GOOD], answers["intent_scores"][GOOD]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores, -np.sort(-probabilities[:, 1:], axis=1), atol=1e-6)
    numbers = [[LABELS.index(name.decode()) for name in row] for row in answers["intents"][GOOD]]
    np.testing.assert_array_equal(np.take_along_axis(probabilities, np.array(numbers), 1), scores)
    np.testing.assert_allclose(answers["out_of_scope_score"][GOOD], 1 - scores[:, 0], atol=1e-6)


def test_slots_are_parts_of_the_text_in_python_code_points(answers):
    assert answers["num_slots"].sum() > 5
    for row, content in enumerate(BYTES):
        count = answers["num_slots"][row]
        names, values, starts, ends, scores = (answers[name][row] for name in SLOTS)
        assert np.all(names[count:] == b"") and np.all(values[count:] == b"")
        assert np.all(starts[count:] == -1) and np.all(ends[count:] == -1)
        assert not np.any(scores[count:])
        if not count:
            continue
        text = content.decode()
        cut = [text[start:end].encode() for start, end in zip(starts, ends, strict=True)]
        assert cut[:count] == values[:count].tolist()
        assert set(names[:count]) <= {b"city", b"song"}
        assert np.all(ends[: count - 1] <= starts[1:count])
        assert np.all((scores[:count] > 0) & (scores[:count] <= 1))


def test_the_small_model_has_learnt_its_sentences(model):
    texts = ["weather in São Paulo today 7", "play song 33 now 2", "why 5 because 9"]
    found = model.predict(text=texts)
    assert found["intent"].tolist() == [b"weather", b"play", b"out_of_scope"]
    assert found["slot_values"][:2, 0].tolist() == ["São Paulo".encode(), b"song 33"]
    assert found["num_slots"].tolist() == [1, 1, 0]


def test_a_row_alone_is_answered_as_in_the_batch(model, answers):
    for row, content in enumerate(BYTES):
        assert_same_row(answers, row, model.predict(text=[content]), 0)


def test_the_order_of_rows_changes_nothing(model, answers):
    order = np.random.default_rng(0).permutation(len(BYTES))
    shuffled = model.predict(text=[BYTES[row] for row in order])
    for place, row in enumerate(order):
        assert_same_row(answers, row, shuffled, place)


@pytest.mark.parametrize(
    ("one", "other"), [("plain", "upper"), ("curly", "straight"), ("cyrillic", "cyrillic_lower")]
)
def test_case_and_the_form_of_quotes_change_nothing(answers, one, other):
    rows = [list(TEXTS).index(name) for name in (one, other)]
    for name in ("probabilities", "slot_starts", "slot_ends", "slot_scores"):
        left, right = answers[name][rows]
        np.testing.assert_allclose(left, right, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("texts", [[b""], [b"\xff", b" "], [b"", b"x" * 2000, b"\xc3"]])
def test_a_batch_of_bad_rows_alone(model, texts):
    found = model.predict(text=texts)
    assert np.all(found["error"] != b"") and np.all(found["intent"] == b"")
    assert found["slot_names"].tolist() == [[b""]] * len(texts)


def test_an_empty_batch_has_empty_answers(model):
    found = model.predict(text=tf.zeros([0], tf.string))
    assert {len(values) for values in found.values()} == {0}
    assert found["probabilities"].shape == (0, 3)


def answer(trained: Trained) -> dict[str, np.ndarray]:
    """What the signature answers before it is written."""
    return ServedModel(build_signatures(trained), trained.labels, {}).predict(text=BYTES)


@pytest.mark.parametrize("threshold", [1e-6, 0.2, 1.0])
def test_the_threshold_decides_what_is_out_of_scope(trained, answers, threshold):
    changed = {**trained.calibration, "out_of_scope_threshold": threshold}
    found = answer(replace(trained, calibration=changed))
    scores = answers["out_of_scope_score"]
    rejected = (scores >= threshold) & GOOD
    np.testing.assert_array_equal(found["intent"] == b"out_of_scope", rejected)
    np.testing.assert_array_equal(found["intent"][~rejected], answers["intents"][~rejected, 0])
    expected = np.where(rejected, scores, answers["intent_scores"][:, 0])
    np.testing.assert_allclose(found["intent_score"], expected, atol=1e-6)
    np.testing.assert_allclose(found["out_of_scope_score"], scores, atol=1e-6)
    np.testing.assert_array_equal(found["intents"], answers["intents"])


def test_the_reference_answers_as_the_signature(trained, answers):
    found = reference(trained, np.array(BYTES, object))
    for name, values in found.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, answers[name], atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(values, answers[name], err_msg=name)


def test_data_without_slots_gives_a_model_of_intents(tmp_path):
    config = replace(SMALL, data=str(write_sentences(tmp_path / "own.jsonl", with_slots=False)))
    app = build_app()
    survey = app.load(config)
    survey.raise_errors()
    preprocess = app.build_preprocess(config, survey)
    network = app.build_model(config, preprocess, LABELS)
    calibration = {"temperature": 1.0, "out_of_scope_threshold": 1.0}
    untrained = Trained(config, LABELS, preprocess, network, calibration)
    found = answer(untrained)
    assert np.all((found["intent"] != b"") == GOOD)
    for name in ("slot_names", "slot_values"):
        assert np.all(found[name] == b"") and found[name].shape == (len(BYTES), 1)
    assert not np.any(found["num_slots"])
    expected = reference(untrained, np.array(BYTES, object))
    np.testing.assert_array_equal(found["slot_starts"], expected["slot_starts"])
