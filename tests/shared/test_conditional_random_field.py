"""The conditional random field against sums and maxima over all paths, one by one."""

from itertools import pairwise, product
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.layers.conditional_random_field import ConditionalRandomField
from shared.metrics import bio_spans

TAGS = ("O", "B-a", "I-a", "B-b", "I-b", "B-c")
LENGTHS = (4, 0, 1, 3)
TIME = 5
ALLOWED_OPS = Path(__file__).parents[2] / "shared" / "export" / "allowed_ops.txt"


def allowed(path: tuple[int, ...]) -> bool:
    names = ["O"] + [TAGS[tag] for tag in path]
    return all(b[0] != "I" or a in (f"B-{b[2:]}", f"I-{b[2:]}") for a, b in pairwise(names))


PATHS = {
    length: np.array([p for p in product(range(len(TAGS)), repeat=length) if allowed(p)])
    for length in set(LENGTHS) - {0}
}


def build(seed: int = 0) -> ConditionalRandomField:
    generator = np.random.default_rng(seed)
    layer = ConditionalRandomField(TAGS)
    layer.build((None, None, len(TAGS)))
    layer.set_weights([generator.normal(0, 1, w.shape) for w in layer.weights])
    return layer


def examples(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Emissions with NaN on the padding, the mask, and tags that BIO allows."""
    generator = np.random.default_rng(seed)
    emissions = generator.normal(0, 2, (len(LENGTHS), TIME, len(TAGS))).astype("float32")
    mask = np.arange(TIME) < np.array(LENGTHS)[:, None]
    emissions[~mask] = np.nan
    tags = np.full(mask.shape, -1, np.int32)
    for row, length in enumerate(LENGTHS):
        if length:
            tags[row, :length] = generator.choice(PATHS[length])
    return emissions, mask, tags


def path_scores(
    layer: ConditionalRandomField, emissions: tf.Tensor, paths: np.ndarray
) -> tf.Tensor:
    """The score of each path through one sentence, from the definition."""
    scores = tf.gather(layer.start.value, paths[:, 0]) + tf.gather(layer.end.value, paths[:, -1])
    for step in range(paths.shape[1]):
        scores += tf.gather(emissions[step], paths[:, step])
    for pair in pairwise(paths.T):
        scores += tf.gather_nd(layer.transitions.value, np.stack(pair, axis=1))
    return scores


def path_probabilities(layer: ConditionalRandomField, emissions: np.ndarray) -> np.ndarray:
    return tf.nn.softmax(path_scores(layer, emissions, PATHS[len(emissions)])).numpy()


def sentences(emissions: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Row number and emissions of the sentences that have steps."""
    return [(row, emissions[row, :length]) for row, length in enumerate(LENGTHS) if length]


def test_likelihood():
    layer, (emissions, _, tags) = build(), examples()
    loss = layer.negative_log_likelihood(tags, emissions).numpy()
    assert loss[1] == 0.0
    for row, sentence in sentences(emissions):
        is_true = (PATHS[len(sentence)] == tags[row, : len(sentence)]).all(axis=1)
        probability = path_probabilities(layer, sentence)[is_true]
        assert loss[row] == pytest.approx(-np.log(probability[0]), rel=1e-4)


def test_best_path():
    layer, (emissions, mask, _) = build(), examples()
    tags, score = layer.decode(emissions, mask)
    assert (tags.numpy()[~mask] == -1).all()
    assert score[1] == 0.0
    for row, sentence in sentences(emissions):
        scores = path_scores(layer, sentence, PATHS[len(sentence)]).numpy()
        best = PATHS[len(sentence)][scores.argmax()]
        assert tags[row, : len(sentence)].numpy().tolist() == best.tolist()
        assert float(score[row]) == pytest.approx(scores.max(), rel=1e-5)


def test_marginals():
    layer, (emissions, mask, _) = build(), examples()
    marginals = layer.marginals(emissions, mask).numpy()
    assert (marginals[~mask] == 0).all()
    for row, sentence in sentences(emissions):
        one_hot = np.eye(len(TAGS))[PATHS[len(sentence)]]
        expected = np.tensordot(path_probabilities(layer, sentence), one_hot, axes=1)
        np.testing.assert_allclose(marginals[row, : len(sentence)], expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_span_probabilities(seed):
    layer, (emissions, mask, tags) = build(seed), examples(seed)
    answered = layer.span_probabilities(emissions, mask, tags).numpy()
    for row, sentence in sentences(emissions):
        probabilities = path_probabilities(layer, sentence)
        spans = [set(bio_spans([TAGS[t] for t in path])) for path in PATHS[len(sentence)]]
        expected = np.zeros(TIME)
        for span in bio_spans([TAGS[t] for t in tags[row, : len(sentence)]]):
            expected[span[1]] = probabilities[[span in others for others in spans]].sum()
        np.testing.assert_allclose(answered[row], expected, rtol=1e-4, atol=1e-7)
    assert (answered[1] == 0).all()


def test_gradients():
    layer, (emissions, mask, tags) = build(), examples()
    weights = [1.0, 5.0, -2.0, 0.5]
    emissions = tf.constant(np.nan_to_num(emissions))
    variables = [emissions, layer.transitions.value, layer.start.value, layer.end.value]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(emissions)
        loss = tf.reduce_sum(weights * layer.negative_log_likelihood(tags, emissions))
        expected = 0.0
        for row, length in enumerate(LENGTHS):
            if length:
                scores = path_scores(layer, emissions[row], PATHS[length])
                true = path_scores(layer, emissions[row], tags[row : row + 1, :length])[0]
                expected += weights[row] * (tf.reduce_logsumexp(scores) - true)
    actual = tape.gradient(loss, variables)
    for ours, theirs in zip(actual, tape.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(ours, tf.convert_to_tensor(theirs), atol=1e-4)
    assert (actual[0].numpy()[~mask] == 0).all()


def everything(layer, emissions, mask, tags):
    path, score = layer.decode(emissions, mask)
    loss = layer.negative_log_likelihood(tags, emissions)
    spans = layer.span_probabilities(emissions, mask, path)
    return path, score, loss, layer.marginals(emissions, mask), spans


def test_a_sentence_alone_equals_the_sentence_in_a_padded_batch():
    layer, (emissions, mask, tags) = build(), examples()
    batch = everything(layer, emissions, mask, tags)
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1), slice(length)
        alone = everything(layer, emissions[one], mask[one], tags[one])
        for ours, theirs in zip(alone, batch, strict=True):
            theirs = theirs[row][:length] if theirs.shape.rank > 1 else theirs[row]
            np.testing.assert_allclose(ours[0], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_graph_equals_eager_execution(compiled):
    layer, inputs = build(), examples()
    graph = tf.function(lambda *inputs: everything(layer, *inputs), jit_compile=compiled)
    for ours, theirs in zip(graph(*inputs), everything(layer, *inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_signature_takes_any_size_and_needs_core_ops_only():
    layer, (emissions, mask, tags) = build(), examples()
    specs = [
        tf.TensorSpec((None, None, len(TAGS)), tf.float32),
        tf.TensorSpec((None, None), tf.bool),
        tf.TensorSpec((None, None), tf.int32),
    ]
    signature = tf.function(lambda *inputs: everything(layer, *inputs), specs)
    for batch, time in ((2, 3), (1, 1), (3, 0), (0, 2)):
        part = slice(batch), slice(time)
        answers = signature(emissions[part], mask[part], tags[part])
        assert [tuple(x.shape)[:2] for x in answers[::3]] == [(batch, time)] * 2
    graph = signature.get_concrete_function().graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    assert {node.op for node in [*graph.node, *functions]} <= set(ALLOWED_OPS.read_text().split())


@tf.function
def numbers(layer, emissions, mask):
    path, score = layer.decode(emissions, mask)
    with tf.GradientTape() as tape:
        tape.watch(emissions)
        loss = layer.negative_log_likelihood(path, emissions)
    variables = [emissions, layer.transitions.value, layer.start.value, layer.end.value]
    spans = layer.span_probabilities(emissions, mask, path)
    marginals = layer.marginals(emissions, mask)
    return path, [score, loss, spans, marginals, *tape.gradient(loss, variables)]


EXTREME = build(9)


@settings(deadline=None)
@given(
    arrays(np.float32, (2, TIME, len(TAGS)), elements=st.floats(-3e4, 3e4, width=32)),
    st.lists(st.integers(0, TIME), min_size=2, max_size=2),
)
def test_whatever_the_emissions_bio_holds_and_nothing_is_infinite(emissions, lengths):
    mask = np.arange(TIME) < np.array(lengths)[:, None]
    path, rest = numbers(EXTREME, tf.constant(emissions), tf.constant(mask))
    for row, length in enumerate(lengths):
        assert allowed(tuple(path[row, :length].numpy()))
    assert all(np.isfinite(number).all() for number in rest)


def test_true_tags_that_bio_forbids_cost_much_and_leave_the_loss_finite():
    layer, (emissions, _, _) = build(), examples()
    tags = np.array([[1, 2, 0, 2], [-1] * 4, [4, -1, -1, -1], [0, 0, 0, -1]], np.int32)
    loss = layer.negative_log_likelihood(tags, emissions[:, :4]).numpy()
    np.testing.assert_allclose(loss, [1e4, 0, 1e4, 0], atol=50)


def test_long_sentences_lose_no_precision():
    """Without pairs, every step is a softmax of its own."""
    layer = ConditionalRandomField(["O", "B-a"])
    layer.build((None, None, 2))
    emissions = np.random.default_rng(0).normal(0, 3, (1, 500, 2)).astype("float32")
    tags = emissions.argmax(axis=-1)
    expected = -tf.reduce_sum(tf.reduce_max(tf.nn.log_softmax(emissions), axis=-1))
    loss = layer.negative_log_likelihood(tags, emissions)
    assert float(loss[0]) == pytest.approx(float(expected), rel=1e-5)


def test_a_keras_model_with_a_mask_learns_what_only_pairs_of_tags_tell():
    """Every word is the same: which of two tags follows is told by the tag before alone."""
    keras.utils.set_random_seed(0)
    words = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(2, 4, mask_zero=True)(words)
    layer = ConditionalRandomField(["O", "B-a"])
    model = keras.Model(words, layer(keras.layers.Dense(2)(hidden)))
    inputs, tags = np.ones((16, 6), np.int32), np.tile([0, 1], (16, 3))
    inputs[::2, 4:], tags[::2, 4:] = 0, -1
    model.compile(keras.optimizers.Adam(0.5), loss=layer.negative_log_likelihood)
    model.fit(inputs, tags, epochs=10, verbose=0)
    decoded, _ = layer.decode(model(inputs), inputs > 0)
    assert decoded.numpy().tolist() == tags.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_emissions_of_half_precision(dtype):
    layer, (emissions, _, tags) = build(), examples()
    half = tf.cast(emissions, dtype)
    loss = layer.negative_log_likelihood(tags, half)
    assert loss.dtype == tf.float32
    expected = layer.negative_log_likelihood(tags, tf.cast(half, tf.float32))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_the_configuration_rebuilds_the_layer():
    config = keras.saving.serialize_keras_object(build())
    assert config["registered_name"] == "quartet>ConditionalRandomField"
    assert keras.saving.deserialize_keras_object(config).tags == TAGS


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([], "there are none"),
        (["O", "city", "B-", "S-a"], "'city' is not BIO; 'B-' is not BIO; 'S-a' is not BIO"),
        (["O", "B-a", "I-b"], "'I-b' has no 'B-b' to follow"),
        (["O", "B-a", "B-a"], "'B-a' occurs twice"),
    ],
)
def test_unusable_tags(tags, message):
    with pytest.raises(ValueError, match=message):
        ConditionalRandomField(tags)


def test_emissions_of_other_tags():
    with pytest.raises(ValueError, match=r"shape \(None, None, 5\); expected \(batch, time, 6\)"):
        ConditionalRandomField(TAGS).build((None, None, 5))
