import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from data.checks import Survey
from data.splits import DataError, Problem, Split, Splits
from data.utterance_checks import check_utterances, survey_utterances
from data.utterances import Slot, Utterance, group_utterances


def boundaries(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    return [[match.span() for match in re.finditer(r"\w+", text)] for text in texts]


def utterance(text: str, intent: str = "fly", **slots: str) -> Utterance:
    found = [
        Slot(name, text.index(value), text.index(value) + len(value))
        for name, value in slots.items()
    ]
    return Utterance(text, intent, tuple(sorted(found, key=lambda slot: slot.start)))


def sentences(split: str, size: int = 6) -> list[Utterance]:
    return [
        utterance(f"{split} {row} to rome", ("fly", "drive")[row % 2], city="rome")
        for row in range(size)
    ]


TRAIN, VALIDATION, TEST = map(sentences, ("train", "validation", "test"))


def make_splits(**groups: list[Utterance]) -> Splits:
    found = [
        replace(utterance, split=name, where=f"{name}:{row}")
        for name, group in groups.items()
        for row, utterance in enumerate(group)
    ]
    labels, splits = group_utterances(found)
    return Splits("set", labels, **splits)


def run(
    train: list[Utterance] = TRAIN,
    validation: list[Utterance] = VALIDATION,
    test: list[Utterance] = TEST,
) -> Survey:
    return survey_utterances(make_splits(train=train, validation=validation, test=test), boundaries)


def listed(result: Survey) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.where, problem.message) for problem in result.problems]


def test_good_data_has_no_problems():
    result = run()
    assert result.problems == ()
    result.raise_errors()
    assert result.splits.train.size == 6


def test_the_types_of_slots_in_training_are_a_fact():
    result = run([*TRAIN, utterance("a b", a="a", z="b"), utterance("b a", a="a", z="b")])
    assert list(result.facts) == ["slot_names"]
    assert result.facts["slot_names"].tolist() == ["a", "city", "z"]
    assert result.facts["slot_names"].dtype.kind == "U"
    none = [utterance(f"{row}", ("fly", "drive")[row % 2]) for row in range(4)]
    assert run(none, none, none).facts["slot_names"].shape == (0,)


def test_slots_that_cut_tokens_are_errors_that_show_the_tokens():
    train = [
        *TRAIN,
        utterance("show me the yorkshire moors in may please", city="york"),
        utterance("ride, today", city="ide"),
        Utterance("new york city", "fly", (Slot("city", 0, 6),)),
    ]
    result = run(train, [*VALIDATION, utterance("rom is nice", city="om")])
    shown = [
        "slot city 'york' cuts the token 'yorkshire' in "
        '"… [me] [the] [yorkshire] [moors] [in] …"; a slot must begin and end between tokens',
        "slot city 'ide' cuts the token 'ride' in \"[ride] [today]\"; a slot must begin and end "
        "between tokens",
        "slot city 'new yo' cuts the token 'york' in \"[new] [york] [city]\"; a slot must begin "
        "and end between tokens",
    ]
    assert listed(result)[:3] == [
        ("error", f"train:{row}", message) for row, message in enumerate(shown, start=6)
    ]
    assert listed(result)[3][:2] == ("error", "validation:6")
    with pytest.raises(DataError, match="4 problems in the data"):
        result.raise_errors()


def test_slots_may_end_in_what_is_no_token():
    train = [*TRAIN, utterance("to rome, now", city="rome,"), utterance("is (rome)", city="(rome)")]
    assert run(train).problems == ()


def test_slots_without_a_token_are_errors():
    result = run([*TRAIN, utterance("to rome !", city="!")])
    assert listed(result) == [("error", "train:6", "slot city '!' holds no token; remove it")]


def test_texts_without_a_token():
    result = run([*TRAIN, utterance("...")], test=[*TEST, utterance("?!", "drive")])
    assert [problem[:2] for problem in listed(result)] == [
        ("error", "train:6"),
        ("warning", "test:6"),
    ]
    assert all("no token; expected a text" in problem.message for problem in result.problems)
    assert result.splits.test.ids.tolist() == [f"test:{row}" for row in range(6)]


def test_a_split_of_which_nothing_is_left_is_an_error():
    result = run(validation=[utterance("!")])
    assert ("error", "validation", "none of 1 sentences can be used") in listed(result)


def test_one_text_with_two_answers():
    again = [utterance("Train 0 to Rome", "drive", place="Train 0"), *TRAIN[1:]]
    result = run([*TRAIN, *again])
    named = "the same sentence as train:0, with"
    assert listed(result) == [
        ("warning", "test", "slot types that are not measured for lack of examples: 'place'"),
        ("warning", "train", "slot types of one example: 'place'"),
        ("warning", "train:6", f"{named} another intent"),
        ("warning", "train:6", f"{named} other slots"),
    ]


def test_sentences_in_two_splits_are_named_up_to_ten():
    shared = [replace(u, text=u.text.upper()) for u in sentences("train", 14)]
    *named, rest = listed(run(sentences("train", 14), validation=shared))
    assert named == [
        (
            "warning",
            f"validation:{row}",
            f"the same sentence as train:{row}, in both train and validation",
        )
        for row in range(10)
    ]
    assert rest == ("warning", "validation", "4 more sentences in both train and validation")


def test_intents_and_slot_types_are_compared_between_splits():
    train = [*TRAIN, utterance("go", "walk"), utterance("by bus or tram", a="bus", b="tram")]
    test = [*TEST, utterance("so long", "leave", time="long"), utterance("one", "leave")]
    result = run(train, test=test)
    assert listed(result) == [
        (
            "warning",
            "test",
            "intents that train lacks, 2 in all, are counted as mistakes: 'leave'; "
            "add training examples",
        ),
        ("warning", "test", "intents that are not measured for lack of examples: 'walk'"),
        ("warning", "train", "intents of one example: 'walk'"),
        (
            "warning",
            "test",
            "slot types that train lacks, 1 in all, are counted as mistakes: 'time'; "
            "add training examples",
        ),
        ("warning", "test", "slot types that are not measured for lack of examples: 'a', 'b'"),
        ("warning", "train", "slot types of one example: 'a', 'b'"),
    ]
    result.raise_errors()


def test_long_lists_of_labels_are_cut():
    letters = "abcdefghijkl"
    more = [utterance(f"1 {letter}", **{letter: letter}) for letter in letters]
    (message, *_) = [m for *_, m in listed(run([*TRAIN, *more])) if "of one example" in m]
    assert message.endswith("'i', 'j' and 2 more")


def test_one_intent():
    sentences = [utterance(f"{row} to rome", city="rome") for row in range(4)]
    with pytest.raises(DataError, match="only the intent 'fly'; expected two or more"):
        run(sentences, sentences, sentences).raise_errors()


def test_heavy_imbalance():
    result = run([*TRAIN, *(utterance(f"more {row}", "drive") for row in range(28))])
    ((severity, where, message),) = listed(result)
    assert (severity, where) == ("warning", "train")
    assert message.startswith("the intent 'drive' has 31 examples, 'fly' only 3")


def test_warnings_of_the_reader_come_first():
    note = Problem("warning", "notes.txt", "ignored")
    splits = make_splits(train=TRAIN, validation=VALIDATION, test=[*TEST, utterance("!", "drive")])
    result = survey_utterances(replace(splits, problems=(note,)), boundaries)
    assert result.problems[0] == note
    assert len(result.problems) == 2


def make_split(*group: Utterance) -> tuple[tuple[str, ...], Split]:
    splits = make_splits(test=list(group), train=TRAIN, validation=VALIDATION)
    return splits.labels, splits.test


def test_what_a_model_cannot_be_measured_on_is_left_out():
    labels, split = make_split(
        utterance("to rome", city="rome"),
        utterance("!"),
        utterance("to romeo and york", city="rome", place="york"),
        utterance("to oslo", "drive", city="oslo"),
    )
    kept, problems = check_utterances(split, labels, boundaries)
    assert kept.ids.tolist() == ["test:0", "test:3"]
    np.testing.assert_array_equal(kept.annotations["slot_starts"][:, 0], [3, 3])
    assert [(problem.severity, problem.where) for problem in problems] == [
        ("warning", "test:1"),
        ("warning", "test:2"),
    ]
    assert problems[0].message.startswith("left out: no token")
    assert problems[1].message.startswith("left out: slot city 'rome' cuts the token 'romeo'")


def test_nothing_to_measure_on():
    labels, split = make_split(utterance("!"), utterance("york", city="yor"))
    with pytest.raises(DataError, match="none of 2 sentences can be used") as caught:
        check_utterances(split, labels, boundaries)
    assert len(caught.value.problems) == 3
