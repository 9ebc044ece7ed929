"""Error rates against jiwer, alignments against what they must add up to."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import AlignedWord, align_words, error_rates

text = st.lists(st.text("abé😀", min_size=1, max_size=3), max_size=7).map(" ".join)
pairs = st.lists(st.tuples(text, text), min_size=1, max_size=5)


@given(pairs)
def test_rates_equal_jiwer(texts):
    references, hypotheses = map(list, zip(*texts, strict=True))
    rates = error_rates(references, hypotheses)
    assert rates["wer"] == pytest.approx(jiwer.wer(references, hypotheses))
    assert rates["cer"] == pytest.approx(jiwer.cer(references, hypotheses))


@given(text, text)
def test_alignments_hold_both_texts_and_the_fewest_edits(reference, hypothesis):
    words = align_words(reference, hypothesis)
    assert [word.reference for word in words if word.operation != "insert"] == reference.split()
    assert [word.hypothesis for word in words if word.operation != "delete"] == hypothesis.split()
    for word in words:
        both = word.operation in ("equal", "substitute")
        assert both == bool(word.reference and word.hypothesis)
        assert (word.operation == "equal") == (word.reference == word.hypothesis)
    counts = jiwer.process_words(reference, hypothesis)
    edits = counts.substitutions + counts.deletions + counts.insertions
    assert sum(word.operation != "equal" for word in words) == edits


def test_an_alignment_by_hand():
    assert align_words("turn on the lamp", "turn the lamb up") == [
        AlignedWord("equal", "turn", "turn"),
        AlignedWord("delete", "on", ""),
        AlignedWord("equal", "the", "the"),
        AlignedWord("substitute", "lamp", "lamb"),
        AlignedWord("insert", "", "up"),
    ]


def test_rates_are_over_the_corpus_not_means_of_texts():
    rates = error_rates(["a b c", "d"], ["a b c", "e"])
    assert rates == {"wer": 1 / 4, "cer": 1 / 6}


def test_white_space_around_texts_and_between_words_is_no_word():
    assert error_rates([" a b"], ["a b  "]) == {"wer": 0, "cer": 0}
    assert error_rates(["a b"], ["a  b"])["wer"] == 0


def test_empty_texts():
    assert error_rates(["", ""], ["", ""]) == {"wer": 0, "cer": 0}
    assert error_rates(["a", ""], ["a", "b cd"]) == {"wer": 2, "cer": 4}
    assert error_rates([""], ["b cd"]) == {"wer": 2, "cer": 4}
    assert error_rates(["b cd"], [""]) == {"wer": 1, "cer": 1}
    assert align_words("", "") == []


@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_numbers_of_texts_that_differ_are_refused(references, hypotheses):
    message = f"{len(references)} references and {len(hypotheses)} hypotheses; expected one of each"
    with pytest.raises(ValueError, match=message):
        error_rates(references, hypotheses)
