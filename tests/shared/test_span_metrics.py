"""Spans, and metrics of intents and slots: by hand, and against seqeval where installed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import bio_spans, span_scores, understanding_metrics

TAGS = st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "B-a-c", "I-a-c"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=8), min_size=1)


def both(sentences):
    """The true and the predicted tags of each sentence."""
    return tuple([[pair[side] for pair in pairs] for pairs in sentences] for side in (0, 1))


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-a I-a O B-b", [("a", 0, 2), ("b", 3, 4)]),
        ("B-a B-a", [("a", 0, 1), ("a", 1, 2)]),
        ("O I-a I-a", [("a", 1, 3)]),
        ("B-a I-b I-b", [("a", 0, 1), ("b", 1, 3)]),
        ("I-a O I-a", [("a", 0, 1), ("a", 2, 3)]),
        ("B-from-city I-from-city", [("from-city", 0, 2)]),
    ],
)
def test_spans_of_tags(tags, spans):
    assert bio_spans(tags.split()) == spans


@given(st.lists(TAGS))
def test_spans_equal_seqeval(tags):
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling")
    assert bio_spans(tags) == [
        (name, start, end + 1) for name, start, end in seqeval.get_entities(tags)
    ]


@pytest.mark.parametrize("tag", ["", "o", "B", "B-", "-a", "S-a", "Ba", "O-a"])
def test_other_schemes_are_refused(tag):
    with pytest.raises(ValueError, match="^Tag 1 is .* expected 'O', 'B-name' or 'I-name'"):
        bio_spans(["O", tag])


@given(SENTENCES)
def test_scores_equal_seqeval(sentences):
    seqeval = pytest.importorskip("seqeval.metrics")
    gold, predicted = both(sentences)
    scores = span_scores([bio_spans(s) for s in gold], [bio_spans(s) for s in predicted])
    # It answers nothing about nothing with 0 and a warning; that case has a test of its own.
    if not scores.names:
        return
    report = seqeval.classification_report(gold, predicted, output_dict=True, zero_division=0)
    micro = report["micro avg"]
    assert scores.f1 == pytest.approx(seqeval.f1_score(gold, predicted, zero_division=0))
    assert scores.precision == pytest.approx(micro["precision"])
    assert scores.recall == pytest.approx(micro["recall"])
    assert [row.label for row in scores.names] == [name for name in report if " avg" not in name]
    for row in scores.names:
        expected = report[row.label]
        assert np.nan_to_num([row.precision, row.recall, row.f1]) == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1-score"]]
        )
        assert row.support == expected["support"]


def test_scores_by_hand():
    gold = [[("a", 0, 2), ("b", 3, 4)], [("a", 0, 1)]]
    predicted = [[("b", 3, 4), ("a", 0, 1)], [("a", 0, 1), ("c", 1, 2)]]
    scores = span_scores(gold, predicted)
    assert (scores.precision, scores.recall) == (2 / 4, 2 / 3)
    assert scores.f1 == pytest.approx(4 / 7)
    a, b, c = scores.names
    assert (a.label, a.precision, a.recall, a.f1, a.support) == ("a", 0.5, 0.5, 0.5, 2)
    assert (b.label, b.precision, b.recall, b.f1, b.support) == ("b", 1.0, 1.0, 1.0, 1)
    assert (c.label, c.f1, c.support) == ("c", 0.0, 0)
    assert c.precision == 0.0 and np.isnan(c.recall)


def test_a_span_of_another_sentence_does_not_count():
    assert span_scores([[("a", 0, 1)], []], [[], [("a", 0, 1)]]).f1 == 0.0


def test_order_and_repetition_of_spans_do_not_count():
    gold = [[("a", 0, 1), ("b", 1, 2)]]
    assert span_scores(gold, [[("b", 1, 2), ("a", 0, 1), ("a", 0, 1)]]).f1 == 1.0


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([[]], [[]], (1.0, 1.0, 1.0)),
        ([], [], (1.0, 1.0, 1.0)),
        ([[("a", 0, 1)]], [[]], (0.0, 0.0, 0.0)),
        ([[]], [[("a", 0, 1)]], (0.0, 0.0, 0.0)),
    ],
)
def test_nothing_is_right_only_where_nothing_is_asked(gold, predicted, expected):
    scores = span_scores(gold, predicted)
    assert (scores.precision, scores.recall, scores.f1) == expected


def test_understanding_without_out_of_scope():
    city, time = ("city", 0, 5), ("time", 6, 8)
    metrics = understanding_metrics(
        ["fly", "fly", "stay", "stay"],
        ["fly", "stay", "stay", "stay"],
        [[city], [city], [city, time], []],
        [[city], [city], [city], []],
    )
    assert metrics == {
        "intent_accuracy": 3 / 4,
        "slot_f1": pytest.approx(6 / 7),
        "sentence_accuracy": 2 / 4,
    }


def test_understanding_with_out_of_scope():
    city = ("city", 0, 5)
    metrics = understanding_metrics(
        ["fly", "fly", "none", "none", "none"],
        ["fly", "none", "none", "none", "fly"],
        [[city], [city], [], [city], []],
        [[city], [city], [city], [], [city]],
        out_of_scope="none",
    )
    assert metrics == {
        "intent_accuracy": 1 / 2,  # rejecting a sentence in scope is a mistake
        "slot_f1": pytest.approx(2 / 3),  # and loses its slots
        "sentence_accuracy": 3 / 5,  # slots of a sentence out of scope do not count
        "out_of_scope_recall": 2 / 3,
        "out_of_scope_precision": 2 / 3,
    }


def test_metrics_are_left_out_where_no_example_asks_for_them():
    in_scope = understanding_metrics(["fly"], ["none"], [[]], [[]], "none")
    assert set(in_scope) == {"intent_accuracy", "slot_f1", "sentence_accuracy"}
    out_of_scope = understanding_metrics(["none"], ["fly"], [[]], [[]], "none")
    assert out_of_scope == {
        "sentence_accuracy": 0.0,
        "out_of_scope_recall": 0.0,
        "out_of_scope_precision": 0.0,
    }


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="There are 1 `gold`, 2 `predicted`; expected one of each"):
        span_scores([[]], [[], []])
    with pytest.raises(ValueError, match="1 `gold_slots`, 2 `predicted_slots`"):
        understanding_metrics(["a"], ["a"], [[]], [[], []])
    with pytest.raises(ValueError, match="There are no examples"):
        understanding_metrics([], [], [], [])
