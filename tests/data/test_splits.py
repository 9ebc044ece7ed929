import numpy as np
import pytest
import tensorflow as tf

from data.hold_out import complete
from data.splits import DataError, Problem, Split, from_bytes, from_files, from_stream

SIZE = 40
INPUTS = [b"input %d" % row for row in range(SIZE)]
LABELS = [row % 2 for row in range(SIZE)]
IDS = [f"set/all/{row}" for row in range(SIZE)]


def in_memory() -> Split:
    return from_bytes(INPUTS, LABELS, IDS)


def streamed() -> Split:
    return from_stream(lambda: tf.data.Dataset.from_tensor_slices(INPUTS), LABELS, IDS, 1000)


def examples(split: Split, seed: int | None = None) -> list[tuple[bytes, int, str]]:
    return [
        (example["input"], int(example["label"]), example["id"].decode())
        for example in split.read(seed).as_numpy_iterator()
    ]


both = pytest.mark.parametrize("make", [in_memory, streamed])


@both
def test_stored_order_is_kept(make):
    assert examples(make()) == list(zip(INPUTS, LABELS, IDS, strict=True))


@both
def test_elements_are_typed_scalars(make):
    scalar = tf.TensorSpec((), tf.string)
    expected = {"input": scalar, "label": tf.TensorSpec((), tf.int64), "id": scalar}
    assert make().read(0).element_spec == expected
    assert make().read(0).cardinality() == SIZE


@both
def test_a_seed_fixes_the_order(make):
    first = examples(make(), 7)
    assert first == examples(make(), 7)
    assert first != examples(make(), 8)
    assert first != examples(make())
    assert sorted(first) == sorted(examples(make()))


@both
def test_one_dataset_repeats_its_order(make):
    dataset = make().read(3)
    first, second = ([bytes(e["id"]) for e in dataset.as_numpy_iterator()] for _ in range(2))
    assert first == second


@both
def test_without_drops_ids_labels_and_inputs_together(make):
    split = make().without({IDS[0], IDS[5], "unknown"})
    expected = [row for row in range(SIZE) if row not in (0, 5)]
    assert split.size == SIZE - 2
    np.testing.assert_array_equal(split.labels, np.array(LABELS)[expected])
    assert examples(split) == [(INPUTS[row], LABELS[row], IDS[row]) for row in expected]
    assert len(examples(split, seed=1)) == SIZE - 2


@both
def test_take_accepts_positions_of_a_part(make):
    split = make().take(np.array([9, 2, 4])).take(np.array([False, True, True]))
    assert examples(split) == [(INPUTS[row], LABELS[row], IDS[row]) for row in (4, 9)]


def test_an_empty_split_reads_nothing():
    assert examples(in_memory().without(IDS), seed=1) == []
    assert examples(streamed().without(IDS)) == []


def test_files_are_opened_when_they_are_read(tmp_path):
    path = tmp_path / "späť \udcff.png"
    split = from_files([str(path)], [1])
    path.write_bytes(b"late")
    (example,) = split.read().as_numpy_iterator()
    assert example["input"] == b"late"
    assert example["id"].decode(errors="surrogateescape") == str(path)


def divide(given: dict[str, Split], validation: float = 0.1, test: float = 0.2, seed: int = 0):
    fractions = {"validation_fraction": validation, "test_fraction": test}
    return complete("set", ("a", "b"), given, **fractions, seed=seed)


def test_missing_splits_are_disjoint_stratified_and_complete():
    splits = divide({"train": in_memory()})
    parts = [splits.train, splits.validation, splits.test]
    assert [part.size for part in parts] == [28, 4, 8]
    assert sorted(name for part in parts for name in part.ids) == sorted(IDS)
    for part in parts:
        assert np.bincount(part.labels).tolist() == [part.size // 2] * 2


def test_the_seed_fixes_what_is_held_out():
    tests = [divide({"train": in_memory()}, seed=seed).test.ids.tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_given_splits_are_left_alone():
    given = {"train": in_memory(), "test": from_bytes([b"x"], [0], ["x"])}
    splits = divide(given)
    assert splits.test is given["test"]
    assert (splits.train.size, splits.validation.size) == (36, 4)


def test_small_classes_cannot_be_divided():
    train = from_bytes(INPUTS[:12], [0] * 10 + [1] * 2, IDS[:12])
    with pytest.raises(DataError, match=r"every class needs at least 3, too few in 'b' \(2\)"):
        divide({"train": train})


def test_small_fractions_cannot_hold_every_class():
    with pytest.raises(DataError, match="cannot cut 1 of 40 training examples as test"):
        divide({"train": in_memory()}, test=0.02)


def test_training_examples_are_required():
    with pytest.raises(DataError, match=r"set: no training examples, only \['test'\]"):
        divide({"test": in_memory()})


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.1), (0.5, 0.5), (0.1, -0.1)])
def test_fractions_are_checked(validation, test):
    with pytest.raises(ValueError, match="sum below 1"):
        divide({"train": in_memory()}, validation, test)


def test_data_error_lists_every_problem():
    problems = [Problem("error", "a.csv:2", "empty label"), Problem("error", "b", "no file")]
    error = DataError(problems)
    assert str(error) == "2 problems in the data:\na.csv:2: empty label\nb: no file"
    assert error.problems == tuple(problems)
    assert str(DataError(problems[:1])) == "a.csv:2: empty label"
