"""Batches of sequences: whole, in an order that the seed fixes, and with little padding."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import data
from data.splits import from_bytes
from shared.training.batching import Batches, StreamedBatches, build_batches, steps_per_epoch
from shared.training.sequence_batching import Row, SequenceBatches
from tests.public_sets import needs

CLASSES = 3
STRUCTURE = (
    {
        "characters": tf.TensorSpec((None, 2), tf.int32),
        "words": tf.TensorSpec((None,), tf.int32),
    },
    {
        "intent": tf.TensorSpec((CLASSES,), tf.float32),
        "slots": tf.TensorSpec((None,), tf.int32),
    },
)
LENGTHS = np.random.default_rng(0).integers(1, 14, 22).tolist()


def row_of(number: int, length: int) -> Row:
    """Example `number`: its words are `number + 1`, its class and its tags follow from that."""
    words = np.full(length, number + 1, np.int32)
    characters = np.stack([words, -words], axis=-1)
    label = np.eye(CLASSES, dtype=np.float32)[number % CLASSES]
    return [characters, words, label, words % 5]


def build(lengths: list[int] = LENGTHS, batch_size: int = 4, **options: object) -> SequenceBatches:
    rows = [row_of(number, length) for number, length in enumerate(lengths)]
    return SequenceBatches(rows, STRUCTURE, batch_size, **options)


def unpad(batches: Batches, seed: int | None = None, skip: int = 0) -> list[list[tuple[int, int]]]:
    """Number and length of the examples in each batch, after checking that all is in its place."""
    found = []
    for inputs, targets in batches.epoch(seed, skip):
        words, characters = np.asarray(inputs["words"]), np.asarray(inputs["characters"])
        lengths = (words != 0).sum(axis=1)
        numbers = words[:, 0] - 1
        inside = np.arange(words.shape[1]) < lengths[:, None]
        expected = np.where(inside, numbers[:, None] + 1, 0)
        np.testing.assert_array_equal(words, expected)
        np.testing.assert_array_equal(characters, np.stack([expected, -expected], axis=-1))
        np.testing.assert_array_equal(targets["intent"], np.eye(CLASSES)[numbers % CLASSES])
        np.testing.assert_array_equal(targets["slots"], np.where(inside, expected % 5, -1))
        found.append(list(zip(numbers.tolist(), lengths.tolist(), strict=True)))
    return found


def numbers_of(batches: list[list[tuple[int, int]]]) -> list[int]:
    return [number for number, _ in chain(*batches)]


def test_an_unseeded_epoch_is_everything_ordered_by_length():
    found = unpad(build())
    assert [len(batch) for batch in found] == [4, 4, 4, 4, 4, 2]
    assert sorted(chain(*found)) == list(enumerate(LENGTHS))
    lengths = [length for _, length in chain(*found)]
    assert lengths == sorted(lengths)


def test_a_seeded_epoch_is_full_batches_each_example_once():
    batches = build()
    assert batches.examples == 22
    for seed in range(20):
        found = unpad(batches, seed)
        assert [len(batch) for batch in found] == [4] * 5
        assert len(found) == steps_per_epoch(batches)
        assert len(set(numbers_of(found))) == 20
        assert all(LENGTHS[number] == length for number, length in chain(*found))


def test_equal_seeds_give_equal_epochs_and_others_another():
    found = unpad(build(), 5)
    assert unpad(build(), 5) == found
    assert unpad(build(), 6) != found
    companions = [{frozenset(n for n, _ in batch) for batch in unpad(build(), s)} for s in (5, 6)]
    assert companions[0] != companions[1]


def test_batches_are_shuffled_not_ordered_by_length():
    longest = [
        [max(length for _, length in batch) for batch in unpad(build(), s)] for s in range(5)
    ]
    assert all(order != sorted(order) for order in longest)


def test_what_a_seeded_epoch_leaves_out_is_drawn_whatever_its_length():
    batches = build(list(range(1, 18)), batch_size=4)
    left_out = Counter(
        number
        for seed in range(300)
        for number in {*range(17)} - {*numbers_of(unpad(batches, seed))}
    )
    assert left_out.total() == 300
    # 300 draws of one out of 17: about 18 each, with a standard deviation of 4.
    assert set(left_out) == set(range(17))
    assert max(left_out.values()) < 35


@pytest.mark.parametrize("seed", [None, 0, 2**32 - 1])
@pytest.mark.parametrize("skip", [0, 1, 4, 5, 6])
def test_skipping_is_leaving_out_the_first_batches(seed, skip):
    assert unpad(build(), seed, skip) == unpad(build(), seed)[skip:]


@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_larger_than_the_set_is_the_set(seed):
    batches = build([3, 1, 2], batch_size=8)
    assert steps_per_epoch(batches) == 1
    (batch,) = unpad(batches, seed)
    assert sorted(batch) == [(0, 3), (1, 1), (2, 2)]


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    batch_size=st.integers(1, 9),
    multiple=st.integers(1, 8),
    seed=st.none() | st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_padded_lengths_are_the_next_multiple(lengths, batch_size, multiple, seed):
    batches = build(lengths, batch_size, length_multiple=multiple)
    for inputs, targets in batches.epoch(seed):
        longest = max((inputs["words"] != 0).sum(axis=1).max(), 1)
        padded = -(-longest // multiple) * multiple
        assert inputs["words"].shape == targets["slots"].shape == (len(inputs["words"]), padded)
        assert inputs["characters"].shape == (len(inputs["words"]), padded, 2)


def test_types_are_those_of_the_structure():
    inputs, targets = next(build().epoch(seed=0))
    found = tf.nest.map_structure(lambda array: array.dtype, (inputs, targets))
    assert found == tf.nest.map_structure(lambda spec: spec.dtype.as_numpy_dtype, STRUCTURE)


def prepare(example: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """A text of `number length` to what `row_of` makes."""
    number, length = tf.unstack(
        tf.strings.to_number(tf.strings.split(example["input"]), tf.int32), 2
    )
    words = tf.fill([length], number + 1)
    inputs = {"characters": tf.stack([words, -words], axis=-1), "words": words}
    return inputs, {"intent": tf.one_hot(number % CLASSES, CLASSES), "slots": words % 5}


def build_from_split(cache_gigabytes: float, **options: object) -> Batches:
    texts = [f"{number} {length}".encode() for number, length in enumerate(LENGTHS)]
    split = from_bytes(texts, [0] * len(texts), list(map(str, range(len(texts)))))
    return build_batches(split, prepare, 4, cache_gigabytes, **options)


def test_streamed_batches_have_the_same_content():
    cached, streamed = build_from_split(1.0), build_from_split(0.0)
    assert isinstance(cached, SequenceBatches) and isinstance(streamed, StreamedBatches)
    assert cached.examples == streamed.examples == len(LENGTHS)
    assert unpad(cached) == unpad(build())
    assert list(chain(*unpad(streamed))) == list(enumerate(LENGTHS))
    for seed in (0, 1):
        found = unpad(streamed, seed)
        assert [len(batch) for batch in found] == [len(batch) for batch in unpad(cached, seed)]
        assert len({*chain(*found)}) == 20 and {*chain(*found)} <= {*enumerate(LENGTHS)}
        assert unpad(streamed, seed, skip=2) == found[2:]


def test_the_limit_counts_the_bytes_of_all_sequences():
    needed = sum(4 * (4 * length + CLASSES) for length in LENGTHS) / 1e9
    assert isinstance(build_from_split(needed), SequenceBatches)
    assert isinstance(build_from_split(needed - 1e-9), StreamedBatches)


def stretch(rows: list[Row], generator: np.random.Generator) -> list[Row]:
    """Gives every example a length drawn anew."""
    return [row_of(number, generator.integers(1, 20)) for number in range(len(rows))]


def test_variation_is_fixed_by_the_seed_and_spares_unseeded_epochs():
    varied = build_from_split(1.0, vary=stretch)
    first = unpad(varied, 3)
    assert unpad(varied, 3) == first
    assert unpad(varied, 3, skip=2) == first[2:]
    assert unpad(varied, 4) != first
    assert dict(chain(*first)).items() - dict(enumerate(LENGTHS)).items()
    assert unpad(varied) == unpad(build())


def test_varied_examples_are_batched_by_their_new_lengths():
    batches = build([1] * 400, batch_size=20, vary=stretch)
    spreads = [np.ptp([length for _, length in batch]) for batch in unpad(batches, 0)]
    assert np.mean(spreads) < 4


def padding_share(lengths: list[int], batch_size: int) -> float:
    """Share of all steps of an epoch that are padding, the mean of three epochs."""
    batches = SequenceBatches(
        [[np.ones(length, np.int32), np.ones((), np.int32)] for length in lengths],
        (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)),
        batch_size,
    )
    epochs = [[inputs for inputs, _ in batches.epoch(seed)] for seed in range(3)]
    assert all(len({inputs.shape for inputs in epoch}) < 40 for epoch in epochs)
    steps = [sum(inputs.size for inputs in epoch) for epoch in epochs]
    words = [sum(inputs.sum() for inputs in epoch) for epoch in epochs]
    return float(1 - np.sum(words) / np.sum(steps))


def test_little_of_a_batch_is_padding():
    lengths = 1 + np.random.default_rng(0).poisson(9, 5000)
    unordered = 1 - lengths[:4992].mean() / lengths[:4992].reshape(-1, 32).max(axis=1).mean()
    assert unordered > 0.4
    assert padding_share(lengths.tolist(), 32) < 0.12


@needs("snips")
def test_little_of_a_batch_of_snips_is_padding():
    texts = data.load("snips", kind="utterances").train.read().batch(1024)
    words = tf.concat([tf.strings.split(batch["input"]).row_lengths() for batch in texts], axis=0)
    assert padding_share(words.numpy().tolist(), 32) < 0.12
