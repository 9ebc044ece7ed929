"""What an exported language model answers: perplexities against NumPy, and continuations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from apps.nlp.export import SIGNATURES, build_signatures, measure_perplexity, reference
from apps.nlp.preprocess import BOUNDARY_NUMBER, UNKNOWN
from shared.export.saved_model import ServedModel
from shared.training.app import Trained

WORDS = "the sea is blue and long"
NUMBERS = {word: number for number, word in enumerate(WORDS.split(), start=BOUNDARY_NUMBER + 1)}
TEXTS: list[bytes] = [
    b"the sea is blue",
    b"blue",
    b"",
    b"\xff sea",
    b"the the qwertz is",
    " \n\u200b".encode(),
    "СИНЕЕ море".encode(),
    b"the sea is blue and long and " * 4,
]
GOOD = np.array([True, True, False, False, True, False, True, True])
DTYPES = {
    name: tensor.dtype for name, tensor in SIGNATURES["language_model"]["generate"].inputs.items()
}
DEFAULTS = {"max_tokens": 7, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 3}

Answers = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(random_nlp: Callable[..., Any]) -> Trained:
    """As a language model that reads eight words."""
    return random_nlp(words=WORDS, first=8, last=0)


@pytest.fixture(scope="module")
def model(trained: Trained) -> ServedModel:
    return ServedModel(build_signatures(trained), (), {})


def generate(model: ServedModel, *prompts: str | bytes, **changes: Any) -> Answers:
    """Continuations, with one setting for all rows or one for each."""
    settings = {
        name: np.full(len(prompts), value, DTYPES[name])
        for name, value in {**DEFAULTS, **changes}.items()
    }
    return model.predict("generate", prompt=tf.constant(prompts, tf.string), **settings)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def logits_behind(trained: Trained, words: list[int]) -> np.ndarray:
    """The logits of what comes behind each word, `(words, vocabulary)`, in NumPy."""
    layers = [trained.model.get_layer(name) for name in ("word_vectors", "recurrent", "next")]
    table = layers[0].get_weights()[0]
    kernel, recurrent_kernel, bias = layers[1].get_weights()[:3]
    projection, shift = layers[2].projection.get_weights()
    hidden = cell = np.zeros(len(recurrent_kernel))
    rows = []
    for word in words:
        gates = table[word] @ kernel + hidden @ recurrent_kernel + bias
        into, forget, candidate, out = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(candidate)
        hidden = sigmoid(out) * np.tanh(cell)
        rows.append((hidden @ projection + shift) @ table.T + layers[2].bias.numpy())
    return np.array(rows)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def numbers_of(text: str) -> list[int]:
    return [BOUNDARY_NUMBER, *(NUMBERS.get(word, UNKNOWN) for word in text.split())]


def test_shapes_and_types_are_those_of_the_signatures(model, language_model):
    for served in (model, language_model):
        found = {
            "serving_default": served.predict(text=["a b", ""]),
            "score": served.predict("score", text=["a b", ""]),
            "generate": generate(served, "a b", ""),
        }
        for name, answers in found.items():
            expected = SIGNATURES["language_model"][name].outputs
            assert set(answers) == set(expected)
            for output, tensor in expected.items():
                assert answers[output].shape == (2,)
                kind = object if tensor.dtype == "string" else tensor.dtype
                assert answers[output].dtype == kind, output


def test_perplexity_against_numpy(trained, model):
    for text in ("the sea is blue", "long", "the qwertz is and and"):
        words = [*numbers_of(text), BOUNDARY_NUMBER]
        logits = logits_behind(trained, words[:-1])
        logits[:, 0] = -np.inf  # Padding is no word.
        chosen = log_softmax(logits)[np.arange(len(words) - 1), words[1:]]
        found = model.predict("score", text=[text])
        assert found["log_likelihood"][0] == pytest.approx(chosen.sum(), rel=1e-4)
        assert found["perplexity"][0] == pytest.approx(np.exp(-chosen.mean()), rel=1e-4)


def test_every_text_has_a_perplexity_or_its_own_error(trained, model):
    found = model.predict(text=TEXTS)
    codes = [error.split(b":")[0] for error in found["error"]]
    assert codes == [b"", b"", b"empty", b"invalid", b"", b"empty", b"", b""]
    for name in ("perplexity", "log_likelihood", "num_tokens"):
        assert np.all((found[name] != 0) == GOOD), name
    assert found["num_tokens"].tolist() == [4, 1, 0, 0, 4, 0, 2, 28]
    assert found["num_unknown"].tolist() == [0, 0, 0, 0, 1, 0, 2, 0]
    assert np.flatnonzero(found["truncated"]).tolist() == [7]
    beginning = model.predict(text=["the sea is blue and long and the"])
    assert beginning["perplexity"][0] == pytest.approx(found["perplexity"][7], rel=1e-5)
    expected = reference(trained, np.array(TEXTS, object))
    np.testing.assert_allclose(found["perplexity"], expected["perplexity"], rtol=1e-5)


def test_a_text_alone_is_scored_as_in_any_batch(model):
    together = model.predict(text=TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = model.predict(text=[TEXTS[row] for row in order])
    for place, row in enumerate(order):
        alone = model.predict(text=[TEXTS[row]])
        for name, values in together.items():
            for other in (shuffled[name][place], alone[name][0]):
                if values.dtype == np.float32:
                    np.testing.assert_allclose(other, values[row], rtol=1e-5, err_msg=name)
                else:
                    assert other == values[row], name


def test_validation_measures_all_words_together(trained, model):
    class Texts:
        def epoch(self) -> Any:
            for part in (TEXTS[:2], TEXTS[4:5]):
                yield trained.preprocess(tf.constant(part))[0], None

    found = model.predict(text=[*TEXTS[:2], TEXTS[4]])
    words = 5 + 2 + 5  # Each with the end of its text.
    expected = np.exp(-found["log_likelihood"].sum() / words)
    assert measure_perplexity(trained.model, Texts())["perplexity"] == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("prompt", ["the sea", "blue", "and long qwertz the", ""])
def test_at_temperature_0_the_likeliest_words_follow(trained, model, prompt):
    words, chosen = numbers_of(prompt), []
    for _ in range(DEFAULTS["max_tokens"]):
        logits = logits_behind(trained, words)[-1]
        logits[[0, UNKNOWN]] = -np.inf
        words.append(int(logits.argmax()))
        if words[-1] == BOUNDARY_NUMBER:
            break
        chosen.append((WORDS.split()[words[-1] - BOUNDARY_NUMBER - 1], log_softmax(logits).max()))
    for settings in ({"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}):
        found = generate(model, prompt, **settings)
        expected = " ".join([*prompt.split(), *(word for word, _ in chosen)])
        assert found["text"][0].decode() == expected
        assert found["num_tokens"][0] == len(chosen)
        mean = np.exp(np.mean([value for _, value in chosen])) if chosen else 0
        assert found["score"][0] == pytest.approx(mean, rel=1e-4)


def test_the_seed_fixes_the_continuation(model):
    def texts(seed: int, **settings: float) -> list[bytes]:
        return generate(model, *["the sea"] * 8, seed=seed + np.arange(8), **settings)[
            "text"
        ].tolist()

    assert texts(0) == texts(0)
    assert texts(0)[1:] == texts(1)[:-1]
    assert len(set(texts(0))) > 4
    assert len(set(texts(0, temperature=0.0))) == 1
    assert len(set(texts(0, temperature=0.3))) <= len(set(texts(0, temperature=3.0)))


def test_a_prompt_alone_is_continued_as_in_any_batch(model):
    prompts = ["the sea", "", "blue and long and blue and long", b"\xff", "qwertz", "the sea"]
    settings = {
        "max_tokens": [3, 9, 1, 5, 0, 20],
        "temperature": [0.0, 1.0, 0.5, 1.0, 1.0, 2.0],
        "top_k": [0, 3, 0, 0, 2, 0],
        "seed": [1, 2, 3, 4, 5, 6],
    }
    together = generate(model, *prompts, **settings)
    for row, prompt in enumerate(prompts):
        alone = generate(model, prompt, **{name: v[row] for name, v in settings.items()})
        for name, values in together.items():
            if values.dtype == np.float32:
                np.testing.assert_allclose(alone[name][0], values[row], rtol=1e-5)
            else:
                assert alone[name][0] == values[row], name
    assert np.all(together["num_tokens"] <= np.array(settings["max_tokens"]))
    assert [error[:7] for error in together["error"]] == [b"", b"", b"", b"invalid", b"", b""]
    assert (together["text"][3], together["score"][3], together["num_tokens"][3]) == (b"", 0, 0)


@pytest.mark.parametrize("limit", [0, -5])
def test_no_words_are_added_where_none_are_wanted(model, limit):
    found = generate(model, "the  sea ", "", max_tokens=limit)
    assert found["text"].tolist() == [b"the  sea ", b""]
    assert not np.any(found["num_tokens"]) and not np.any(found["score"])


def test_only_known_words_are_added_behind_the_prompt_as_it_is(model):
    prompts = ["THE Sea", "qwertz!", " \n", "blue\n", "שלום", "e\u0301", "nul\0nul"]
    found = generate(model, *prompts, temperature=5.0, max_tokens=40)
    for prompt, text, count in zip(prompts, found["text"], found["num_tokens"], strict=True):
        assert text.decode().startswith(prompt)
        added = text.decode()[len(prompt) :]
        assert set(added.split()) <= set(WORDS.split())
        assert len(added.split()) == count
        assert added == added.strip() if prompt[-1:].isspace() else added[:1] in ("", " ")
    assert found["num_tokens"].max() > 2


def test_a_long_prompt_is_continued_from_its_end(model):
    end = "blue is the sea and long is blue"
    for beginning in ("the " * 30, "long " * 5):
        settings = {"seed": 5, "max_tokens": 12}
        whole, short = (generate(model, text, **settings) for text in (beginning + end, end))
        assert whole["text"][0].decode() == beginning + short["text"][0].decode()
        assert whole["num_tokens"] == short["num_tokens"]


def test_pieces_of_words_are_joined(random_nlp):
    trained = random_nlp(words="the p ##lay ##ing , ##s", first=8, last=0)
    model = ServedModel(build_signatures(trained), (), {})
    found = generate(model, *["the p"] * 8, temperature=4.0, seed=np.arange(8), max_tokens=20)
    assert found["num_tokens"].max() > 3
    assert not any(b"#" in text for text in found["text"])
    assert any(text.startswith((b"the play", b"the ping", b"the ps")) for text in found["text"])


def test_an_empty_batch_has_empty_answers(model):
    for found in (model.predict(text=tf.zeros([0], tf.string)), generate(model)):
        assert {values.shape for values in found.values()} == {(0,)}


def test_the_small_model_has_learnt_its_texts(language_model):
    texts = ["what a lovely lamp this is", "is lamp a what this lovely"]
    likely, unlikely = language_model.predict(text=texts)["perplexity"]
    assert likely < 10 < unlikely
    prompts = ("what a lovely lamp", "my lamp came late")
    found = generate(language_model, *prompts, temperature=0.0, max_tokens=2)["text"].tolist()
    assert found == [b"what a lovely lamp this is", b"my lamp came late, it"]
