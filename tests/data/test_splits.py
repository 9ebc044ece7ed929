from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data.hold_out import complete
from data.splits import (
    DataError,
    Problem,
    Split,
    concatenate,
    from_bytes,
    from_files,
    from_function,
    from_stream,
)

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


def spoken(speakers: dict[str, list[int]], split: str = "train") -> Split:
    """A split of speakers and the classes of what they say."""
    rows = [(speaker, label) for speaker, labels in speakers.items() for label in labels]
    ids = [f"{split}/{speaker}/{row}" for row, (speaker, _) in enumerate(rows)]
    found = from_bytes([name.encode() for name in ids], [label for _, label in rows], ids)
    return replace(found, annotations={"speakers": np.array([s.encode() for s, _ in rows], object)})


def speakers_of(split: Split) -> set[str]:
    return {speaker.decode() for speaker in split.annotations["speakers"]}


def test_splits_are_cut_by_speaker_with_like_classes():
    # Ten speakers say class 0 only, ten class 1 only, and some twice as much.
    people = {f"s{n:02}": [n % 2] * (5 + n // 10 * 5) for n in range(20)}
    for seed in range(3):
        splits = divide({"train": spoken(people)}, 0.2, 0.2, seed)
        parts = [splits.train, splits.validation, splits.test]
        assert [part.size for part in parts] == [90, 30, 30]
        assert sum(len(speakers_of(part)) for part in parts) == 20
        assert [np.bincount(part.labels).tolist() for part in parts[1:]] == [[15, 15]] * 2


def test_the_seed_fixes_who_is_held_out():
    people = {f"s{n:02}": [0, 1] * 3 for n in range(20)}
    found = [speakers_of(divide({"train": spoken(people)}, seed=seed).test) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "people",
    [
        {"a": [0, 1] * 20, "b": [0, 1] * 20, "c": [0, 1] * 20},
        {"": [0, 1] * 2, **{f"s{n}": [0, 1] * 2 for n in range(29)}},
        {"a": [1] * 12, **{f"s{n}": [0] * 12 for n in range(9)}},
    ],
)
def test_splits_are_cut_by_example_where_speakers_do_not_allow_more(people):
    """Too few speakers, an unknown one, or one who alone says a class."""
    splits = divide({"train": spoken(people)}, 0.1, 0.1)
    assert splits.validation.size == splits.test.size == round(0.1 * 120)
    assert np.count_nonzero(np.bincount(splits.train.labels)) == 2
    if "s8" not in people:
        assert speakers_of(splits.test) & speakers_of(splits.train)


def test_transcripts_are_cut_by_speaker():
    people = {f"s{n:02}": [0] * (n % 3 + 1) for n in range(30)}
    splits = divide({"train": spoken(people)}, 0.1, 0.1)
    assert not speakers_of(splits.train) & speakers_of(splits.test)
    assert [splits.validation.size, splits.test.size] == [6, 6]


def test_chosen_speakers_are_tested_on():
    given = {
        "train": spoken({"a": [0, 1] * 5, "b": [0, 1] * 5}),
        "validation": spoken({"b": [0, 1], "c": [0, 1]}, "validation"),
        "test": spoken({"a": [0], "c": [1], "": [1]}, "test"),
    }
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.1}
    splits = complete("set", ("x", "y"), given, **fractions, seed=0, test_speakers=("b",))
    assert [p.size for p in (splits.train, splits.validation, splits.test)] == [13, 2, 12]
    assert speakers_of(splits.test) == {"b"}
    assert speakers_of(splits.train) == {"a", "c", ""}
    everything = [examples(part, 1) for part in (splits.train, splits.validation, splits.test)]
    for found in everything:
        assert all(content.decode() == name for content, _, name in found)
    assert len({name for found in everything for _, _, name in found}) == 27


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ({"a": [0, 1], "b": [0]}, "set: no speaker 'x' or 'y'; the speakers are a, b"),
        ({"": [0, 1]}, "the speakers are not known"),
        ({f"s{n:02}": [0] for n in range(30)}, "the speakers are s00, .*, s19, …"),
    ],
)
def test_speakers_that_nobody_is(people, expected):
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.1}
    with pytest.raises(DataError, match=expected):
        complete(
            "set", (), {"train": spoken(people)}, **fractions, seed=0, test_speakers=("x", "y")
        )


def test_nobody_is_left_to_train_on():
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.1}
    with pytest.raises(DataError, match=r"no training examples, only \['test'\]"):
        complete("set", (), {"train": spoken({"a": [0]})}, **fractions, seed=0, test_speakers=["a"])


@both
def test_joined_splits_keep_their_order_and_are_mixed_by_a_seed(make):
    parts = [make().take(np.arange(30)), in_memory().take(np.arange(30, 40)), in_memory()]
    joined = concatenate(parts)
    stored = [example for part in parts for example in examples(part)]
    assert examples(joined) == stored
    assert joined.read(0).cardinality() == 80
    mixed = examples(joined, 5)
    assert mixed == examples(joined, 5) != examples(joined, 6)
    assert sorted(mixed) == sorted(stored)
    first = [IDS.index(name) // 10 for _, _, name in mixed[:40]]
    assert min(np.bincount(first, minlength=4)) > 4
    some = joined.take(np.array([0, 35, 79]))
    assert examples(some) == [stored[0], stored[35], stored[79]]
    assert sorted(examples(some, 1)) == sorted(examples(some))


def test_functions_read_inputs_in_the_order_of_a_seed():
    contents = [b"%d\0" % row for row in range(SIZE)]
    split = from_function(lambda row: contents[row], LABELS, IDS)
    assert [content for content, _, _ in examples(split)] == contents
    assert examples(split, 7) == examples(split, 7) != examples(split)
    assert sorted(content for content, _, _ in examples(split, 7)) == sorted(contents)
