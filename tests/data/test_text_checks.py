from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from data.checks import Survey
from data.splits import DataError, Problem, Split, Splits
from data.text_checks import check_texts, survey_texts
from data.texts import LABEL_SETS, Text, group_texts


def texts(split: str, size: int = 12) -> list[Text]:
    return [Text(f"{split} {row}", (("neg", "pos")[row % 2],)) for row in range(size)]


def several(split: str, size: int = 12) -> list[Text]:
    sets = ((), ("new",), ("new", "odd"), ("odd",))
    return [Text(f"{split} {row}", sets[row % 4]) for row in range(size)]


TRAIN, VALIDATION, TEST = map(texts, ("train", "validation", "test"))


def make_splits(name: str = "set", several: bool = False, **groups: Sequence[Text]) -> Splits:
    found = [
        replace(text, split=split, where=f"{split}:{row}")
        for split, group in groups.items()
        for row, text in enumerate(group)
    ]
    labels, splits = group_texts(found, several)
    return Splits(name, labels, **splits)


def run(
    train: Sequence[Text] = TRAIN,
    validation: Sequence[Text] = VALIDATION,
    test: Sequence[Text] = TEST,
    name: str = "set",
) -> Survey:
    return survey_texts(make_splits(name, train=train, validation=validation, test=test), False)


def run_several(train: Sequence[Text], test: Sequence[Text]) -> Survey:
    groups = {"train": train, "validation": several("validation"), "test": test}
    return survey_texts(make_splits("set", True, **groups), several=True)


def listed(result: Survey) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.where, problem.message) for problem in result.problems]


def test_good_data_has_no_problems():
    for result in (run(), run_several(several("train"), several("test"))):
        assert result.problems == ()
        result.raise_errors()
        assert result.splits.train.size == 12


def test_empty_texts_are_left_out():
    result = run([Text(" \n", ("pos",)), *TRAIN], test=[*TEST, Text("", ("neg",))])
    assert listed(result) == [
        ("warning", "train:0", "left out: empty text"),
        ("warning", "test:12", "left out: empty text"),
    ]
    assert result.splits.train.ids.tolist() == [f"train:{row}" for row in range(1, 13)]
    assert result.splits.test.size == 12


def test_a_split_of_which_nothing_is_left_is_an_error():
    result = run(validation=[Text(" ", ("pos",))])
    assert ("error", "validation", "none of 1 texts can be used") in listed(result)


def test_repeated_texts_are_counted_and_the_first_are_named():
    again = [replace(text, text=f" {text.text.upper()}\n") for text in TRAIN[:7]]
    (problem,) = listed(run([*TRAIN, *again]))
    named = ", ".join(f"train:{row + 12} (train:{row})" for row in range(5))
    assert problem == (
        "warning",
        "train",
        f"texts that repeat an earlier one, 7 in all: {named}, …",
    )


def test_one_text_with_two_labels():
    again = [replace(TRAIN[2], labels=("pos",)), TRAIN[3], replace(TRAIN[3], labels=("neg",))]
    assert listed(run([*TRAIN, *again])) == [
        (
            "warning",
            "train",
            "texts that repeat an earlier one with another label, 2 in all: "
            "train:12 'pos' (train:2 'neg'), train:14 'neg' (train:3 'pos')",
        ),
        ("warning", "train", "texts that repeat an earlier one, 1 in all: train:13 (train:3)"),
    ]


def test_one_text_with_two_sets_of_labels():
    again = [Text("train 2", ("odd", "new")), Text("train 2", ("new",)), Text("train 2")]
    result = run_several([*several("train"), *again], several("test"))
    conflicts = "train:13 'new' (train:2 'new' and 'odd'), train:14 nothing (train:2 'new' and 'o"
    assert conflicts in result.problems[0].message
    assert (
        result.problems[1].message
        == "texts that repeat an earlier one, 1 in all: train:12 (train:2)"
    )


def test_texts_in_two_splits():
    result = run(validation=[*VALIDATION, TRAIN[5]], test=[TRAIN[5], *TEST, VALIDATION[0]])
    assert listed(result) == [
        ("warning", "validation", "texts that are in train too, 1 in all: validation:12 (train:5)"),
        ("warning", "test", "texts that are in train too, 1 in all: test:0 (train:5)"),
        (
            "warning",
            "test",
            "texts that are in validation too, 2 in all: "
            "test:0 (validation:12), test:13 (validation:0)",
        ),
    ]


@pytest.mark.parametrize(
    ("name", "severity"), [("own.csv", "error"), ("trec", "warning"), ("tfds:x/y", "warning")]
)
def test_labels_that_train_lacks(name, severity):
    test = [*TEST, Text("one", ("odd",)), Text("two", ("odd",))]
    result = run(validation=[Text("three", ("new",)), *VALIDATION], test=test, name=name)
    rest = "is not in train; add training texts that have it, or leave it out"
    assert listed(result) == [
        (severity, "validation:0", f"label 'new', 1 in validation, {rest}"),
        (severity, "test:12", f"label 'odd', 2 in test, {rest}"),
    ]


def test_labels_of_sets_that_train_lacks():
    result = run_several(several("train"), [*several("test"), Text("one", ("new", "rare"))])
    ((severity, where, message),) = listed(result)
    assert (severity, where) == ("error", "test:12")
    assert message.startswith("label 'rare', 1 in test, is not in train")


def test_rare_and_unmeasured_labels():
    result = run([*TRAIN, *(Text(f"more {row}", ("odd",)) for row in range(4))])
    assert listed(result) == [
        ("warning", "test", "labels that are not measured for lack of texts: 'odd'"),
        ("warning", "train", "labels of fewer than 5 texts: 'odd'; add some"),
    ]
    many = [Text(f"more {row}", (f"l{row:02}",)) for row in range(13)]
    messages = [message for _, _, message in listed(run([*TRAIN, *many]))]
    assert messages[0].endswith("'l08', 'l09' and 3 more")


def test_heavy_imbalance():
    ((_, where, message),) = listed(run([*TRAIN, *texts("more", 120)[1::2]]))
    assert where == "train"
    assert message.startswith("the label 'pos' has 66 examples, 'neg' only 6")


def test_one_label():
    one = [replace(text, labels=("pos",)) for text in TRAIN]
    with pytest.raises(DataError, match="every text is labelled 'pos'; expected two labels"):
        run(one, one, one).raise_errors()


def test_one_label_that_some_texts_have():
    some = [Text(f"{row}", ("spam",) * (row % 2)) for row in range(12)]
    splits = make_splits("set", True, train=some, validation=some, test=some)
    assert not [p for p in survey_texts(splits, True).problems if p.severity == "error"]
    every = [replace(text, labels=("spam",)) for text in some]
    splits = make_splits("set", True, train=every, validation=some, test=some)
    with pytest.raises(DataError, match="every text is labelled 'spam'"):
        survey_texts(splits, True).raise_errors()


def test_texts_without_labels_are_checked_for_repetition_only():
    groups = {
        name: [replace(text, labels=()) for text in group]
        for name, group in (("train", [*TRAIN, TRAIN[0]]), ("validation", TRAIN), ("test", TEST))
    }
    result = survey_texts(make_splits(**groups), several=False)
    assert [problem[:2] for problem in listed(result)] == [
        ("warning", "train"),
        ("warning", "validation"),
    ]


def test_warnings_of_the_reader_come_first():
    note = Problem("warning", "notes.txt", "ignored")
    splits = make_splits(train=TRAIN, validation=VALIDATION, test=[*TEST, Text("", ("neg",))])
    result = survey_texts(replace(splits, problems=(note,)), several=False)
    assert result.problems[0] == note
    assert len(result.problems) == 2


def make_split(*group: Text, several: bool = False) -> tuple[tuple[str, ...], Split]:
    splits = make_splits("set", several, test=group, train=TRAIN, validation=VALIDATION)
    return splits.labels, splits.test


def test_what_a_model_cannot_be_measured_on_is_left_out():
    group = (Text("a", ("pos",)), Text(" ", ("pos",)), Text("A", ("neg",)), Text("b"))
    labels, split = make_split(*group, several=True)
    kept, problems = check_texts(split, labels)
    assert kept.ids.tolist() == ["test:0", "test:2", "test:3"]
    np.testing.assert_array_equal(kept.annotations[LABEL_SETS], [[0, 1], [1, 0], [0, 0]])
    assert [(p.severity, p.where, p.message) for p in problems] == [
        ("warning", "test:1", "left out: empty text"),
        (
            "warning",
            "data",
            "texts that repeat an earlier one with another label, 1 in all: "
            "test:2 'neg' (test:0 'pos')",
        ),
    ]


def test_nothing_to_measure_on():
    labels, split = make_split(Text("", ("pos",)), Text("\n", ("neg",)))
    with pytest.raises(DataError, match="none of 2 texts can be used") as caught:
        check_texts(split, labels)
    assert len(caught.value.problems) == 3
