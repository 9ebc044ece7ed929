from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from data.checks import Survey, survey
from data.splits import DataError, Problem, Split, Splits, from_bytes

Examples = Sequence[tuple[str, int]]


def inspect(value: tf.Tensor) -> dict[str, tf.Tensor]:
    bad = tf.strings.regex_full_match(value, "bad.*")
    return {"error": tf.where(bad, "not an image", ""), "length": tf.strings.length(value)}


def make_split(name: str, examples: Examples) -> Split:
    inputs, labels = zip(*examples, strict=True) if examples else ((), ())
    ids = [f"{name}/{row}" for row in range(len(examples))]
    return from_bytes([text.encode() for text in inputs], labels, ids)


def balanced(name: str, size: int = 6) -> Examples:
    return [(f"{name} {row}", row % 2) for row in range(size)]


TRAIN, VALIDATION, TEST = map(balanced, ("train", "validation", "test"))


def run(
    train: Examples = TRAIN,
    validation: Examples = VALIDATION,
    test: Examples = TEST,
    labels: tuple[str, ...] = ("cat", "dog"),
    max_unreadable: float = 0.05,
) -> Survey:
    named = {"train": train, "validation": validation, "test": test}
    splits = {name: make_split(name, examples) for name, examples in named.items()}
    return survey(Splits("set", labels, **splits), inspect, max_unreadable=max_unreadable)


def listed(result: Survey) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.where, problem.message) for problem in result.problems]


def test_good_data_has_no_problems():
    result = run()
    assert result.problems == ()
    result.raise_errors()


def test_facts_are_those_of_the_readable_training_rows_in_stored_order():
    result = run([("a", 0), ("bad", 0), ("ccc", 1), ("dd", 1), ("e", 0)], max_unreadable=0.5)
    assert list(result.facts) == ["length"]
    np.testing.assert_array_equal(result.facts["length"], [1, 3, 2, 1])
    assert result.facts["length"].dtype == np.int32
    assert result.splits.train.ids.tolist() == ["train/0", "train/2", "train/3", "train/4"]


def test_facts_of_more_than_one_batch():
    sizes = np.arange(600) % 7 + 1
    texts = [(f"{row:04d}" + "x" * size, row % 2) for row, size in enumerate(sizes)]
    np.testing.assert_array_equal(run(texts).facts["length"], sizes + 4)


def test_few_unreadable_examples_are_left_out_with_a_warning():
    result = run([*balanced("train", 40), ("bad", 1)])
    assert listed(result) == [("warning", "train/40", "unreadable, left out: not an image")]
    assert result.splits.train.size == 40


def test_many_unreadable_examples_are_an_error():
    result = run(validation=[*balanced("validation", 8), ("bad 1", 0), ("bad 2", 1)])
    assert [problem.severity for problem in result.problems] == ["warning", "warning", "error"]
    assert result.problems[2].where == "validation"
    assert result.problems[2].message.startswith("2 of 10 examples cannot be read, more than 5%")


@pytest.mark.parametrize("max_unreadable", [0.05, 1.0])
def test_a_split_without_readable_examples_is_an_error(max_unreadable):
    result = run(test=[("bad 1", 0), ("bad 2", 1)], max_unreadable=max_unreadable)
    with pytest.raises(DataError, match="test: none of 2 examples can be read"):
        result.raise_errors()


def test_nothing_readable_at_all():
    bad = [("bad", 0)]
    errors = [where for severity, where, _ in listed(run(bad, bad, bad)) if severity == "error"]
    assert errors == ["train", "validation", "test"]


def test_an_empty_split_is_an_error():
    assert ("error", "validation", "none of 0 examples can be read") in listed(run(validation=[]))


def test_files_in_two_splits_are_named_with_both_ids():
    result = run(test=[*balanced("test"), ("train 3", 1)])
    expected = "the same file as train/3, in both train and test"
    assert listed(result) == [("warning", "test/6", expected)]


def test_at_most_ten_shared_files_are_named():
    shared = balanced("train", 14)
    *named, rest = listed(run(shared, validation=shared))
    assert [where for _, where, _ in named] == [f"validation/{row}" for row in range(10)]
    assert rest == ("warning", "validation", "4 more files in both train and validation")


def test_one_input_with_two_labels():
    result = run([*balanced("train"), ("train 0", 1), ("train 1", 1)])
    expected = "the same file as train/6, with another label"
    assert listed(result) == [("warning", "train/0", expected)]


def test_one_class_is_an_error():
    one = [[(f"{name} {row}", 0) for row in range(3)] for name in ("a", "b", "c")]
    with pytest.raises(DataError, match="only the class 'cat'; expected two or more"):
        run(*one).raise_errors()


def test_labels_are_compared_between_splits():
    labels = ("cat", "dog", "emu", "fox", "gnu")
    result = run(
        [*balanced("train"), ("fox 1", 3), ("fox 2", 3)],
        validation=[*balanced("validation"), ("emu", 2)],
        labels=labels,
    )
    assert [problem[:2] for problem in listed(result)] == [
        ("error", "validation"),
        ("warning", "train"),
        ("warning", "test"),
    ]
    for problem, name in zip(result.problems, ("'emu'", "'gnu'", "'fox'"), strict=True):
        assert problem.message.split(":")[1].strip().split(";")[0] == name


def test_a_class_that_becomes_empty_when_unreadable_rows_go_is_an_error():
    result = run([(f"cat {row}", 0) for row in range(5)] + [("bad", 1)], max_unreadable=0.5)
    messages = [problem.message for problem in result.problems if problem.severity == "error"]
    assert any("only the class 'cat'" in message for message in messages)
    assert sum("classes that train lacks: 'dog'" in message for message in messages) == 2


def test_classes_of_one_example():
    result = run([("a", 0), ("b", 0), ("c", 1)])
    assert listed(result) == [("warning", "train", "classes of one example: 'dog'")]


@pytest.mark.parametrize(("largest", "problems"), [(20, 0), (21, 1)])
def test_heavy_imbalance(largest, problems):
    result = run([(f"cat {row}", 0) for row in range(largest)] + [("dog 1", 1), ("dog 2", 1)])
    assert len(result.problems) == problems
    for _, where, message in listed(result):
        assert where == "train"
        assert message.startswith("the class 'cat' has 21 examples, 'dog' only 2")


def test_warnings_of_the_reader_come_first():
    note = Problem("warning", "notes.txt", "ignored")
    split = {name: make_split(name, balanced(name)) for name in ("train", "validation", "test")}
    result = survey(Splits("set", ("cat", "dog"), **split, problems=(note,)), inspect)
    assert result.problems == (note,)
