"""Words drawn from logits and texts made of them, against plain Python and the whole network."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from shared.export.verification import ALLOWED_OPS
from shared.layers.generation import MAX_WORDS, Generator, Sampling, join_words
from shared.layers.next_word import NextWord
from shared.layers.recurrent import LSTM
from shared.layers.sampling import sample

WORDS, SIZE, UNITS = 12, 4, 5
UNKNOWN, END = 1, 2
PROMPTS = ([5, 3, 9, 4], [7], [], [3, 11, 6])
ALMOST_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
NEAR = (-1e-5, 0.0, 1e-5)
rows_to_sample = st.lists(
    st.tuples(
        st.lists(st.integers(-8, 8).map(lambda value: value / 2), min_size=6, max_size=6),
        st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0, 3.0]),
        st.integers(-1, 7),
        st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
        st.floats(0, ALMOST_ONE, width=32),
    ),
    min_size=1,
    max_size=4,
)


def choose(
    logits: Sequence[float], temperature: float, top_k: int, top_p: float, uniform: float
) -> int:
    order = sorted(range(len(logits)), key=lambda place: -logits[place])
    if temperature <= 0:
        return order[0]
    kept, before = [], 0.0
    for place, chance in enumerate(softmax(np.array(logits)[order] / temperature)):
        if place and (place >= top_k > 0 or before >= top_p):
            break
        kept.append(chance)
        before += chance
    below = np.cumsum(kept) <= uniform * np.sum(kept)
    return order[min(below.sum(), len(kept) - 1)]


def draw(*rows: tuple) -> list[int]:
    dtypes = (np.float32, np.float32, np.int32, np.float32, np.float32)
    columns = zip(zip(*rows, strict=True), dtypes, strict=True)
    return sample(*(tf.constant(np.array(column, dtype)) for column, dtype in columns))


@given(rows=rows_to_sample)
@settings(max_examples=150, deadline=None)
def test_classes_are_drawn_as_by_plain_python(rows):
    for found, (logits, temperature, top_k, top_p, uniform) in zip(draw(*rows), rows, strict=True):
        # What lies on a boundary may fall to either side of it by rounding.
        answers = {
            choose(logits, temperature, top_k, top_p + p, uniform + u) for p in NEAR for u in NEAR
        }
        assert int(found) in answers


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "uniform", "expected"),
    [
        (0.0, 0, 1.0, ALMOST_ONE, 1),  # the first of the likeliest
        (1.0, 0, 1.0, 0.0, 1),
        (1.0, 0, 1.0, ALMOST_ONE, 4),
        (1.0, 2, 1.0, ALMOST_ONE, 2),
        (1.0, 1, 1.0, ALMOST_ONE, 1),
        (1.0, 99, 1.0, ALMOST_ONE, 4),
        (1.0, 0, 0.0, ALMOST_ONE, 1),
        (1.0, 0, 0.41, ALMOST_ONE, 2),  # each of the two likeliest has 0.399
        (1.0, 0, 0.39, ALMOST_ONE, 1),
        (1.0, 3, 0.99, ALMOST_ONE, 0),
    ],
)
def test_limits_of_what_is_drawn(temperature, top_k, top_p, uniform, expected):
    logits = [1.0, 2.0, 2.0, 0.0, -5.0]
    assert draw((logits, temperature, top_k, top_p, uniform))[0] == expected


def test_shares_are_the_softmax_of_the_logits_over_the_temperature():
    logits = [0.5, -1.0, 2.0, 1.0]
    rows = [(logits, 0.7, 0, 1.0, (step + 0.5) / 1000) for step in range(1000)]
    shares = np.bincount(draw(*rows), minlength=4) / 1000
    np.testing.assert_allclose(shares, softmax(np.array(logits) / 0.7), atol=0.0011)


def build() -> Generator:
    """A language model with random weights, whose texts end soon."""
    generator = np.random.default_rng(10)
    embedding = keras.layers.Embedding(WORDS, SIZE)
    embedding.build()
    recurrent = LSTM(UNITS, bidirectional=True, return_state=True)
    recurrent.build((None, None, SIZE))
    next_word = NextWord(embedding, samples=4)
    next_word.build((None, None, UNITS))
    for layer in (embedding, recurrent, next_word):
        for variable in layer.trainable_variables:
            variable.assign(generator.normal(size=variable.shape) * 1.2)
    next_word.bias.assign(next_word.bias + 3 * np.eye(WORDS)[END])
    return Generator(embedding, recurrent, next_word, END, forbidden=(0, UNKNOWN))


def compiled(generator: Generator) -> Any:
    numbers, shares = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)
    signature = [
        tf.TensorSpec((None, None), tf.int32),
        Sampling(numbers, shares, numbers, shares, numbers),
    ]
    return tf.function(lambda prompt, how: generator(prompt, how), signature, autograph=False)


@cache
def model() -> tuple[Generator, Any]:
    generator = build()
    return generator, compiled(generator)


def sampling(
    rows: int,
    max_tokens: Any = 8,
    temperature: Any = 1.0,
    top_k: Any = 0,
    top_p: Any = 1.0,
    seed: Any = 0,
) -> Sampling:
    values = (max_tokens, temperature, top_k, top_p, seed)
    dtypes = (tf.int32, tf.float32, tf.int32, tf.float32, tf.int32)
    pairs = zip(values, dtypes, strict=True)
    return Sampling(*(tf.constant(np.broadcast_to(v, (rows,)), d) for v, d in pairs))


def pad(rows: Sequence[Sequence[int]], width: int = 0) -> np.ndarray:
    width = max(width, *map(len, rows))
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], np.int32)


def texts(words: Any) -> list[list[int]]:
    """The words of each row, of which there are as many as it says."""
    rows = [row[:count].numpy().tolist() for row, count in zip(*words[::2], strict=True)]
    np.testing.assert_array_equal(words.words, pad(rows, words.words.shape[1]))
    return rows


def logits_along(generator: Generator, prompt: Sequence[int], words: Sequence[int]) -> np.ndarray:
    """Logits of each of the words and of the one behind them, by the whole network at once."""
    read = np.array([[*prompt, *words]], np.int32)
    outputs = generator.recurrent(generator.embedding(read))[0][0, :, :UNITS]
    states = tf.concat([tf.zeros((1, UNITS)), outputs], axis=0)[len(prompt) :]
    logits = generator.next_word.logits(generator.next_word(states)).numpy()
    logits[:, list(generator.forbidden)] = -1e9
    return logits


def test_without_temperature_the_likeliest_words_come_until_the_end():
    generator, run = model()
    made = run(pad(PROMPTS), sampling(4, 6, temperature=0.0))
    ends = 0
    for prompt, words in zip(PROMPTS, texts(made), strict=True):
        likeliest = logits_along(generator, prompt, words).argmax(axis=1).tolist()
        assert likeliest[:-1] == words
        assert len(words) == 6 or likeliest[-1] == END
        ends += len(words) < 6
    assert 0 < ends < 4


def test_the_score_is_the_sum_of_the_plain_log_probabilities():
    generator, run = model()
    made = run(pad(PROMPTS), sampling(4, temperature=0.6, top_k=3, top_p=0.9, seed=[1, 2, 3, 4]))
    rows = zip(PROMPTS, texts(made), made.log_probabilities, strict=True)
    for prompt, words, found in rows:
        values = log_softmax(logits_along(generator, prompt, words)[:-1], axis=1)
        expected = values[np.arange(len(words)), words].sum()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_row_alone_is_as_in_a_batch_of_other_prompts_and_limits():
    _, run = model()
    limits, seeds = [8, 3, 6, 0], [5, 6, 7, 5]
    together = run(pad(PROMPTS), sampling(4, limits, seed=seeds))
    for row, prompt in enumerate(PROMPTS):
        alone = run(pad([prompt]), sampling(1, limits[row], seed=seeds[row]))
        assert texts(alone) == texts(together)[row : row + 1]
        np.testing.assert_allclose(
            alone.log_probabilities[0], together.log_probabilities[row], rtol=1e-4, atol=1e-6
        )


def test_a_seed_fixes_the_words_and_other_seeds_give_others():
    _, run = model()
    prompts = pad([[5, 3]] * 40)
    seeds = np.arange(40) - 20
    first = texts(run(prompts, sampling(40, seed=seeds)))
    assert texts(run(prompts, sampling(40, seed=seeds))) == first
    assert texts(run(prompts, sampling(40, seed=seeds[::-1]))) == first[::-1]
    assert len(set(map(tuple, first))) > 20
    assert len(set(map(tuple, texts(run(prompts, sampling(40, seed=3)))))) == 1


def test_first_words_are_drawn_with_the_probabilities_of_the_network():
    generator, run = model()
    made = run(pad([[5, 3]] * 2000), sampling(2000, max_tokens=1, seed=np.arange(2000)))
    words = np.where(made.counts == 1, made.words[:, 0], END)
    expected = softmax(logits_along(generator, [5, 3], [])[0])
    np.testing.assert_allclose(np.bincount(words, minlength=WORDS) / 2000, expected, atol=0.04)


def test_fewer_words_are_the_beginning_of_more():
    _, run = model()
    prompts, seeds = pad(PROMPTS), [1, 2, 3, 4]
    long, short = (texts(run(prompts, sampling(4, limit, seed=seeds))) for limit in (20, 4))
    assert short == [row[:4] for row in long]


@pytest.mark.parametrize("limit", [0, -3])
def test_no_words_if_none_are_wanted(limit):
    made = model()[1](pad(PROMPTS), sampling(4, limit))
    assert texts(made) == [[]] * 4
    assert made.words.shape == (4, 1)
    assert not np.any(made.log_probabilities)


def test_no_prompts_and_prompts_without_words():
    _, run = model()
    assert run(np.zeros((0, 3), np.int32), sampling(0)).words.shape[0] == 0
    assert texts(run(np.zeros((1, 0), np.int32), sampling(1))) == texts(run(pad([[]]), sampling(1)))


def test_forbidden_words_never_come():
    made = model()[1](pad([[5]] * 100), sampling(100, 20, temperature=50.0, seed=np.arange(100)))
    assert {word for row in texts(made) for word in row} == set(range(3, WORDS))


def test_a_text_ends_at_once_or_at_the_longest_that_there_is():
    generator = build()
    run = compiled(generator)
    bias = generator.next_word.bias
    bias.assign(np.where(np.arange(WORDS) == END, 1e3, 0))
    made = run(pad(PROMPTS), sampling(4))
    assert texts(made) == [[]] * 4 and not np.any(made.log_probabilities)
    bias.assign(np.where(np.arange(WORDS) == END, -1e3, 0))
    made = run(pad([[5], [6]]), sampling(2, [10**6, 5], top_k=3))
    assert made.counts.numpy().tolist() == [MAX_WORDS, 5]


def test_a_server_generates_the_same(tmp_path: Path):
    generator, run = model()
    module = tf.Module()
    module.layers = [generator.embedding, generator.recurrent, generator.next_word]
    numbers, shares = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32), numbers, shares, numbers])
    def serve(prompt: tf.Tensor, limit: tf.Tensor, p: tf.Tensor, seed: tf.Tensor) -> dict:
        ones = tf.ones_like(p)
        return generator(prompt, Sampling(limit, ones, 4 * tf.ones_like(seed), p, seed))._asdict()

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(tmp_path), serve, options)
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for rows, limit in ((4, 8), (1, 3), (4, 0)):
        prompts, drawing = pad(PROMPTS[:rows]), sampling(rows, limit, top_k=4, top_p=0.9, seed=9)
        made = loaded(prompt=prompts, limit=drawing.max_tokens, p=drawing.top_p, seed=drawing.seed)
        for name, expected in run(prompts, drawing)._asdict().items():
            np.testing.assert_allclose(made[name], expected, rtol=1e-4)
    graph = loaded.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert {node.op for node in nodes} <= ALLOWED_OPS


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("what a love ##ly kett ##le !", "what a lovely kettle!"),
        ("it came late , but ( so far ) it works …", "it came late, but (so far) it works…"),
        ("it ' s the seller ’ s and / or mine", "it's the seller’s and/or mine"),
        (
            "a well - known [ sic ] { so } called one : 50 %",
            "a well-known [sic] {so} called one: 50%",
        ),
        ("größe ; 茶 壶 ?", "größe; 茶 壶?"),
        ("", ""),
    ],
)
def test_words_are_joined_as_people_write_them(words, text):
    rows = [words.split(), ["and", "then"], [*"abcdefghijklmnop"]]
    dense = tf.ragged.constant(rows, dtype=tf.string).to_tensor("")
    expected = [text, "and then", "a b c d e f g h i j k l m n o p"]
    assert [row.decode() for row in join_words(dense).numpy()] == expected
