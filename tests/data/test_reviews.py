import re
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from data.readers.grammar import read_grammar
from data.readers.grammar_blocks import Report, read_blocks
from data.reviews import GRAMMAR, read_reviews
from data.texts import Text

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def reviews() -> list[Text]:
    return read_reviews()


@pytest.fixture(scope="module")
def splits(reviews) -> dict[str, list[Text]]:
    return {name: [review for review in reviews if review.split == name] for name in SPLITS}


@pytest.fixture(scope="module")
def shared_words() -> re.Pattern[str]:
    """What the lists without a split have: products, parts, opinions, people and times."""
    report = Report(GRAMMAR)
    lists = [block for block in read_blocks(GRAMMAR, report) if block.kind == "list"]
    report.raise_errors()
    templates = [line.template for block in lists if not block.split for line in block.content]
    values = [template[0] for template in templates if isinstance(template[0], str)]
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b")


def test_the_grammar_is_without_warnings_and_says_that_it_is_synthetic():
    assert read_grammar(GRAMMAR)[1] == []
    assert "SYNTHETIC" in "".join(GRAMMAR.read_text().splitlines()[:5])


def test_splits_have_their_sizes_and_both_labels_equally_often(splits):
    counts = {name: Counter(r.labels for r in reviews) for name, reviews in splits.items()}
    assert counts == {
        "train": {("negative",): 3500, ("positive",): 3500},
        "validation": {("negative",): 300, ("positive",): 300},
        "test": {("negative",): 500, ("positive",): 500},
    }


def test_every_reading_gives_the_same_reviews_and_none_twice(reviews):
    assert read_reviews() == reviews
    assert len({review.text for review in reviews}) == len(reviews)


def test_reviews_are_a_few_whole_sentences(reviews):
    for review in reviews:
        assert re.fullmatch(r"[A-Z][A-Za-z ,;:'?.-]+[.?]", review.text), review
        assert not re.search(r"[.?] [a-z]", review.text), review
        assert 7 <= len(review.text.split()) <= 35, review


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (1, 2)])
def test_splits_share_no_phrasings(splits, shared_words, first, second):
    phrasings = [
        {shared_words.sub("_", review.text) for review in splits[SPLITS[index]]}
        for index in (first, second)
    ]
    assert min(map(len, phrasings)) > 50
    assert not phrasings[0] & phrasings[1]


def test_test_reviews_are_written_in_words_of_the_training_reviews(splits):
    words = {
        name: Counter(word for r in reviews for word in re.findall(r"[a-z]+", r.text.lower()))
        for name, reviews in splits.items()
    }
    unknown = sum(count for word, count in words["test"].items() if word not in words["train"])
    assert unknown / words["test"].total() < 0.03


def test_words_and_pairs_of_words_do_not_tell_the_label(splits):
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10)
    )
    texts = {name: [review.text for review in reviews] for name, reviews in splits.items()}
    labels = {name: [r.labels[0] for r in reviews] for name, reviews in splits.items()}
    model.fit(texts["train"], labels["train"])
    assert 0.7 < model.score(texts["test"], labels["test"]) < 0.92
