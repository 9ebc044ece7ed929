from collections.abc import Iterable
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from data.splits import from_bytes
from shared.training.batching import (
    Batches,
    CachedBatches,
    StreamedBatches,
    build_batches,
    steps_per_epoch,
)

CLASSES = 3
EXAMPLE_BYTES = 4 * (2 + CLASSES)
IN_MEMORY, STREAMED = 1.0, 0.0
BOTH = pytest.mark.parametrize("cache_gigabytes", [IN_MEMORY, STREAMED], ids=["cached", "streamed"])


def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    number = tf.strings.to_number(example["input"])
    return tf.stack([number, -number]), tf.one_hot(example["label"], CLASSES)


def build(examples: int, batch_size: int, cache_gigabytes: float) -> Batches:
    """Example `n` has the input `(n, -n)` and the class `n % CLASSES`."""
    numbers = range(examples)
    split = from_bytes(
        [str(n).encode() for n in numbers],
        [n % CLASSES for n in numbers],
        [f"example {n}" for n in numbers],
    )
    return build_batches(split, prepare, batch_size, cache_gigabytes)


def numbers_of(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[list[int]]:
    """The examples in each batch, after checking that inputs and targets belong together."""
    rows = []
    for inputs, targets in batches:
        numbers = np.asarray(inputs)[:, 0].astype(int)
        np.testing.assert_array_equal(inputs, np.stack([numbers, -numbers], axis=-1))
        np.testing.assert_array_equal(targets, np.eye(CLASSES)[numbers % CLASSES])
        rows.append(numbers.tolist())
    return rows


@BOTH
def test_an_unseeded_epoch_is_everything_in_stored_order(cache_gigabytes):
    batches = build(10, 4, cache_gigabytes)
    assert batches.examples == 10
    assert numbers_of(batches.epoch()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@BOTH
def test_a_seeded_epoch_is_shuffled_and_leaves_out_the_partial_batch(cache_gigabytes):
    batches = build(22, 4, cache_gigabytes)
    rows = numbers_of(batches.epoch(seed=1))
    assert [len(row) for row in rows] == [4] * 5
    assert len(rows) == steps_per_epoch(batches)
    numbers = list(chain(*rows))
    assert len(set(numbers)) == 20
    assert set(numbers) <= set(range(22))
    assert numbers != sorted(numbers)


@BOTH
def test_full_batches_hold_every_example_once(cache_gigabytes):
    rows = numbers_of(build(20, 5, cache_gigabytes).epoch(seed=3))
    assert sorted(chain(*rows)) == list(range(20))


@BOTH
def test_equal_seeds_give_equal_order_and_others_another(cache_gigabytes):
    batches = build(20, 4, cache_gigabytes)
    first = numbers_of(batches.epoch(seed=5))
    assert numbers_of(batches.epoch(seed=5)) == first
    assert numbers_of(build(20, 4, cache_gigabytes).epoch(seed=5)) == first
    assert numbers_of(batches.epoch(seed=6)) != first


@BOTH
@pytest.mark.parametrize("seed", [None, 2**32 - 1])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_skipping_is_leaving_out_the_first_batches(cache_gigabytes, seed, skip):
    batches = build(10, 4, cache_gigabytes)
    everything = numbers_of(batches.epoch(seed))
    assert numbers_of(batches.epoch(seed, skip)) == everything[skip:]


@BOTH
@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_larger_than_the_set_is_the_set(cache_gigabytes, seed):
    batches = build(3, 8, cache_gigabytes)
    assert steps_per_epoch(batches) == 1
    rows = numbers_of(batches.epoch(seed))
    assert [sorted(row) for row in rows] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"), [(1, 1, 1), (7, 8, 1), (8, 8, 1), (15, 8, 1), (16, 8, 2)]
)
@BOTH
def test_steps_are_the_batches_of_a_seeded_epoch(cache_gigabytes, examples, batch_size, steps):
    batches = build(examples, batch_size, cache_gigabytes)
    assert steps_per_epoch(batches) == steps == len(list(batches.epoch(seed=0)))


def test_the_limit_decides_between_memory_and_stream():
    limit = 10 * EXAMPLE_BYTES / 1e9
    assert isinstance(build(10, 4, limit), CachedBatches)
    assert isinstance(build(11, 4, limit), StreamedBatches)


def test_memory_holds_sets_of_several_reads():
    batches = build(2500, 500, IN_MEMORY)
    assert numbers_of(batches.epoch()) == np.arange(2500).reshape(5, 500).tolist()


@BOTH
def test_types_are_those_that_the_model_takes(cache_gigabytes):
    inputs, targets = next(build(4, 2, cache_gigabytes).epoch())
    assert (inputs.dtype, targets.dtype) == ("float32", "float32")
    assert (inputs.shape, targets.shape) == ((2, 2), (2, CLASSES))
