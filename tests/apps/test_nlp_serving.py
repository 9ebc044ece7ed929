"""What an exported classifier answers, row by row, also to texts that nobody should send."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from apps.nlp.export import SIGNATURES, build_signatures, build_warmup, calibrate, reference
from shared.export.saved_model import ServedModel
from shared.training.app import Trained

LABELS = ("bad", "fine", "good")
WORDS = "the sea is blue москва 東 what ' s to be long"
LONG = "the sea is long what is to be blue the москва"
TEXTS: dict[str, str | bytes] = {
    "plain": "the SEA is blue",
    "lower": "the sea is blue",
    "empty": "",
    "straight": "what's the sea",
    "curly": "what’s the sea",
    "spaces": " \t\u3000\n\u200b",
    "latin_1": "café".encode("latin-1"),
    "cyrillic": "МОСКВА",
    "cyrillic_lower": "москва",
    "long": LONG,
    "ends": "the sea is to be blue the москва",
    "one_letter": "x" * 1_000_000,
    "many_words": "to be " * 170_000,
    "wrong_bytes": b"\xff" * 1_000_000,
    "right_to_left": "הים כחול והשמיים כחולים",
    "marks": "e\u0301te\u0301 the se\u0301a \u0301",
    "emoji": "  the sea 😀 👨\u200d👩\u200d👧 🇩🇪👍🏽",
    "surrogate": b"the \xed\xa0\x80",
    "nul": "the \0sea\0",
    "mark": "\u0301",
    "word": "sea",
    "unknown": "qwertz",
}
EMPTY, INVALID = "empty: the text has no words", "invalid: the text is not UTF-8"
ERRORS = {
    "empty": EMPTY,
    "spaces": EMPTY,
    "latin_1": INVALID,
    "wrong_bytes": INVALID,
    "surrogate": INVALID,
}
BYTES = [text.encode() if isinstance(text, str) else text for text in TEXTS.values()]
GOOD = np.array([name not in ERRORS for name in TEXTS])

Answers = dict[str, np.ndarray]
Random = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(random_nlp: Random) -> Trained:
    """As a network that reads three words at the beginning and five at the end."""
    return random_nlp(*LABELS, words=WORDS)


@pytest.fixture(scope="module")
def several(random_nlp: Random) -> Trained:
    return random_nlp(*LABELS, words=WORDS, label_separator="|")


def served(trained: Trained) -> ServedModel:
    return ServedModel(build_signatures(trained), trained.labels, trained.calibration)


@pytest.fixture(scope="module")
def model(trained: Trained) -> ServedModel:
    return served(trained)


@pytest.fixture(scope="module")
def answers(model: ServedModel) -> Answers:
    return model.predict(text=BYTES)


def row_of(name: str) -> int:
    return list(TEXTS).index(name)


def assert_same_row(one: Answers, row: int, other: Answers, place: int) -> None:
    for name, values in one.items():
        left, right = values[row], other[name][place]
        if values.dtype == np.float32:
            np.testing.assert_allclose(left, right, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(left, right, err_msg=name)


def test_shapes_and_types_are_those_of_the_signature(answers, nlp_model):
    for found, size in ((answers, len(BYTES)), (nlp_model.predict(text=["a b", ""]), 2)):
        sizes = {"batch": size, "classes": 3, "k": 3}
        expected = SIGNATURES["classification"]["serving_default"].outputs
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            assert found[name].shape == tuple(sizes[part] for part in tensor.dimensions.split())
            kind = object if tensor.dtype == "string" else tensor.dtype
            assert found[name].dtype == kind, name


def test_every_row_has_an_answer_or_its_own_error(answers):
    found = {name: error.decode() for name, error in zip(TEXTS, answers["error"], strict=True)}
    assert {name: error for name, error in found.items() if error} == ERRORS
    assert np.all((answers["label"] != b"") == GOOD)
    assert np.all((answers["num_labels"] == 1) == GOOD)
    assert np.all(answers["labels"][~GOOD] == b"")
    for name in ("score", "scores", "probabilities", "num_labels"):
        assert not np.any(answers[name][~GOOD]), name


def test_scores_are_probabilities_in_order(answers):
    probabilities, scores = answers["probabilities"][GOOD], answers["scores"][GOOD]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores, -np.sort(-probabilities, axis=1), atol=1e-6)
    numbers = [[LABELS.index(name.decode()) for name in row] for row in answers["labels"][GOOD]]
    np.testing.assert_array_equal(np.take_along_axis(probabilities, np.array(numbers), 1), scores)
    np.testing.assert_array_equal(answers["label"][GOOD], answers["labels"][GOOD, 0])
    np.testing.assert_array_equal(answers["score"][GOOD], scores[:, 0])
    assert len(np.unique(answers["label"][GOOD])) > 1


def test_probabilities_are_those_of_both_outputs_by_their_weights(trained, answers):
    texts = [text for text, good in zip(BYTES, GOOD, strict=True) if good and len(text) < 1000]
    inputs, _ = trained.preprocess(tf.constant(texts))
    logits = trained.model(inputs)
    mixed = 0.75 * logits["recurrent_logits"].numpy() + 0.25 * logits["ngram_logits"].numpy()
    expected = np.exp(mixed) / np.exp(mixed).sum(axis=1, keepdims=True)
    rows = [BYTES.index(text) for text in texts]
    np.testing.assert_allclose(answers["probabilities"][rows], expected, atol=1e-5)


def test_a_row_alone_is_answered_as_in_the_batch(model, answers):
    for row, content in enumerate(BYTES):
        assert_same_row(answers, row, model.predict(text=[content]), 0)


def test_the_order_of_rows_changes_nothing(model, answers):
    order = np.random.default_rng(0).permutation(len(BYTES))
    shuffled = model.predict(text=[BYTES[row] for row in order])
    for place, row in enumerate(order):
        assert_same_row(answers, row, shuffled, place)


@pytest.mark.parametrize(
    ("one", "other"), [("plain", "lower"), ("curly", "straight"), ("cyrillic", "cyrillic_lower")]
)
def test_case_and_the_form_of_quotes_change_nothing(answers, one, other):
    assert_same_row(answers, row_of(one), answers, row_of(other))


def test_words_are_counted_before_the_text_is_cut(answers):
    counts = {name: answers["num_tokens"][row] for row, name in enumerate(TEXTS)}
    assert (counts["plain"], counts["straight"], counts["one_letter"]) == (4, 5, 1)
    assert (counts["long"], counts["many_words"]) == (11, 340_000)
    assert {counts[name] for name in ERRORS} == {0}
    truncated = {name for row, name in enumerate(TEXTS) if answers["truncated"][row]}
    assert truncated == {"long", "many_words"}
    unknown = {name: answers["num_unknown"][row] for row, name in enumerate(TEXTS)}
    assert (unknown["plain"], unknown["one_letter"], unknown["right_to_left"]) == (0, 1, 4)
    assert unknown["many_words"] == 0


def test_the_network_reads_both_ends_of_a_long_text(random_nlp):
    """Without n-grams, which are taken from all of it."""
    made = random_nlp(*LABELS, words=WORDS)
    inputs, _ = made.preprocess(tf.constant([LONG, str(TEXTS["ends"])]))
    one, other = made.model(inputs)["recurrent_logits"].numpy()
    np.testing.assert_allclose(one, other, atol=1e-6)
    changed = [LONG.replace("the sea is", "the sea be"), LONG.replace("blue the", "blue be")]
    for text in changed:
        inputs, _ = made.preprocess(tf.constant([text]))
        assert np.any(np.abs(made.model(inputs)["recurrent_logits"][0] - one) > 1e-3)


@pytest.mark.parametrize("texts", [[b""], [b"\xff", b" "], [b"", b"\xc3"]])
def test_a_batch_of_bad_rows_alone(model, texts):
    found = model.predict(text=texts)
    assert np.all(found["error"] != b"") and np.all(found["label"] == b"")
    assert found["labels"].tolist() == [[b""] * 3] * len(texts)


def test_an_empty_batch_has_empty_answers(model):
    found = model.predict(text=tf.zeros([0], tf.string))
    assert {len(values) for values in found.values()} == {0}
    assert found["probabilities"].shape == (0, 3)


def test_several_labels_are_decided_one_by_one(several):
    found = served(several).predict(text=BYTES)
    probabilities = found["probabilities"]
    inputs, _ = several.preprocess(tf.constant(["the sea is blue"]))
    logits = {name: values.numpy()[0] for name, values in several.model(inputs).items()}
    mixed = 0.75 * logits["recurrent_logits"] + 0.25 * logits["ngram_logits"]
    np.testing.assert_allclose(probabilities[0], 1 / (1 + np.exp(-mixed)), atol=1e-5)
    counts = (probabilities >= 0.5).sum(axis=1)
    np.testing.assert_array_equal(found["num_labels"], counts)
    assert len(set(counts[GOOD])) > 1
    assert np.all(found["num_labels"][~GOOD] == 0)
    for row in np.flatnonzero(GOOD):
        chosen = {name.decode() for name in found["labels"][row][: counts[row]]}
        assert chosen == {LABELS[index] for index in np.flatnonzero(probabilities[row] >= 0.5)}
    np.testing.assert_allclose(found["scores"], -np.sort(-probabilities, axis=1), atol=1e-6)


def test_all_of_several_labels_are_answered_and_five_of_others(random_nlp):
    many = [f"label {number}" for number in range(9)]
    one = served(random_nlp(*many, words=WORDS)).predict(text=["the sea"])
    assert (one["labels"].shape, one["probabilities"].shape) == ((1, 5), (1, 9))
    any_number = served(random_nlp(*many, words=WORDS, label_separator="|"))
    assert any_number.predict(text=["the sea"])["labels"].shape == (1, 9)


@pytest.mark.parametrize("kind", ["trained", "several"])
def test_the_reference_answers_as_the_signature(kind, request):
    made = request.getfixturevalue(kind)
    texts = [text for text in BYTES if len(text) < 1000]
    answers = served(made).predict(text=texts)
    found = reference(made, np.array(texts, object))
    np.testing.assert_allclose(found["probabilities"], answers["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(found["label"], answers["label"])


class OneBatch:
    """Validation texts whose labels are those that the network's first output prefers."""

    def __init__(self, trained: Trained) -> None:
        texts = [text for text, good in zip(BYTES, GOOD, strict=True) if good and len(text) < 99]
        self.inputs, _ = trained.preprocess(tf.constant(texts * 4))
        logits = trained.model(self.inputs)["recurrent_logits"].numpy()
        self.targets = np.eye(3, dtype=np.float32)[logits.argmax(axis=1)]

    def epoch(self, seed: int | None = None, skip: int = 0) -> list:
        return [(self.inputs, {"recurrent_logits": self.targets, "ngram_logits": self.targets})]


@pytest.mark.parametrize("kind", ["trained", "several"])
def test_calibration_trusts_the_output_that_is_right(kind, request):
    made = request.getfixturevalue(kind)
    batches = OneBatch(made)
    values, metrics = calibrate(made, batches)
    assert values.keys() == {"recurrent_logits", "ngram_logits"}
    assert values["recurrent_logits"] > 5 * values["ngram_logits"]
    logits = made.model(batches.inputs)
    mixed = sum(values[name] * logits[name].numpy() for name in values)
    if kind == "several":
        losses = np.logaddexp(0, np.where(batches.targets > 0, -mixed, mixed))
    else:
        losses = np.log(np.exp(mixed - (mixed * batches.targets).sum(axis=1)[:, None]).sum(axis=1))
    assert metrics["loss"] == pytest.approx(losses.mean(), rel=1e-3, abs=1e-5)


def test_warm_up_asks_for_one_text_and_for_several():
    texts = np.array([b"a", b"b", b"c"], object)
    assert [len(inputs["text"]) for _, inputs in build_warmup(texts)] == [1, 3]


def test_the_small_model_has_learnt_its_texts(nlp_model):
    texts = ["the lamp is flawless", "what a useless chair this is", "does the radio work?"]
    found = nlp_model.predict(text=texts)
    assert found["label"].tolist() == [b"good", b"bad", b"question"]
    assert np.all(found["score"] > 0.8)
