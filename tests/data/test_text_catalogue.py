from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds

import data
from data import TextFields, public_sets, public_texts
from data.texts import LABEL_SETS
from tests.public_sets import needs

Rows = list[dict[str, object]]


class TinyTexts(tfds.core.GeneratorBasedBuilder):
    """A set whose features and rows a test may replace."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["neg", "pos"]),
    }
    ROWS: dict[str, Rows] = {
        split: [{"text": f"{split} {row}", "label": row % 2} for row in range(size)]
        for split, size in (("train", 20), ("test", 4))
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(self.FEATURES))

    def _split_generators(self, dl_manager):
        return {split: enumerate(rows) for split, rows in self.ROWS.items()}

    def _generate_examples(self):
        raise NotImplementedError


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Loads a tiny set of given features and rows under the name of any public set."""

    def load(
        name: str = "tfds:tiny_texts",
        features: dict[str, object] | None = None,
        rows: dict[str, Rows] | None = None,
        kind: str = "texts",
        **fields: str,
    ) -> data.Splits:
        monkeypatch.setattr(TinyTexts, "FEATURES", features or TinyTexts.FEATURES)
        monkeypatch.setattr(TinyTexts, "ROWS", rows or TinyTexts.ROWS)
        monkeypatch.setattr(
            public_sets.tfds, "builder", lambda name, data_dir: TinyTexts(data_dir=data_dir)
        )
        return data.load(name, kind=kind, fields=TextFields(**fields), data_dir=str(tmp_path))

    return load


def found(splits: data.Splits, name: str) -> list[tuple[str, str]]:
    split = getattr(splits, name)
    texts = [example["input"].decode() for example in split.read().as_numpy_iterator()]
    labels = (
        [splits.labels[label] for label in split.labels] if splits.labels else [""] * split.size
    )
    return sorted(zip(texts, labels, strict=True))


def test_sets_of_tensorflow_datasets(tiny):
    splits = tiny()
    assert splits.labels == ("neg", "pos")
    assert (splits.train.size, splits.validation.size, splits.test.size) == (18, 2, 4)
    rows = [*found(splits, "train"), *found(splits, "validation")]
    assert sorted(rows) == sorted((f"train {row}", ("neg", "pos")[row % 2]) for row in range(20))
    assert sorted(splits.test.ids) == [f"tfds:tiny_texts/test/{row}" for row in range(4)]
    assert splits.problems == ()


def test_all_texts_of_a_set(tmp_path):
    labels, split = data.load_all("tfds:tiny_texts", kind="texts", data_dir=str(tmp_path))
    assert (labels, split.size) == (("neg", "pos"), 24)


def test_texts_without_labels_are_training_data_of_language_models(tiny):
    rows = {
        "train": [{"text": "train", "label": row % 2} for row in range(20)],
        "unsupervised": [{"text": "more", "label": -1} for _ in range(30)],
        "test": [{"text": "test", "label": 0}],
    }
    splits = tiny(rows=rows, kind="unlabelled_texts")
    assert splits.labels == ()
    assert (splits.train.size, splits.validation.size, splits.test.size) == (45, 5, 1)
    assert not splits.train.labels.any()
    both = [*found(splits, "train"), *found(splits, "validation")]
    assert Counter(both) == {("train", ""): 20, ("more", ""): 30}
    labelled = tiny(rows=rows)
    assert labelled.train.size + labelled.validation.size == 20


def test_test_texts_without_labels_are_replaced_by_those_of_validation(tiny):
    rows = {
        "train": [{"sentence": f"t{row}", "label": row % 2, "idx": 0} for row in range(20)],
        "validation": [{"sentence": f"v{row}", "label": row % 2, "idx": 0} for row in range(3)],
        "test": [{"sentence": "x", "label": -1, "idx": 0}],
    }
    features = {
        "sentence": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["negative", "positive"]),
        "idx": np.int32,
    }
    splits = tiny("glue/sst2", features, rows)
    assert splits.labels == ("negative", "positive")
    assert found(splits, "test") == [("v0", "negative"), ("v1", "positive"), ("v2", "negative")]
    assert (splits.train.size, splits.validation.size) == (18, 2)
    assert [(p.severity, p.where, p.message) for p in splits.problems] == [
        ("warning", "glue/sst2/test", "texts without label, 1 in all, are not used"),
        ("warning", "glue/sst2/validation", "used as test, which has no labels"),
    ]
    unlabelled = tiny("glue/sst2", features, rows, kind="unlabelled_texts")
    assert found(unlabelled, "test") == [("x", "")]
    assert (unlabelled.train.size, unlabelled.validation.size) == (20, 3)


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("imdb_reviews", "Good.<br /><br />Really.", "Good.\n\nReally."),
        ("tfds:imdb_reviews", "Good.<br />", "Good."),
        ("yelp_polarity_reviews", '""Good.""\\n\\nReally.', '"Good."\n\nReally.'),
        ("trec", "a <br /> \\n", "a <br /> \\n"),
    ],
)
def test_spellings_of_line_ends_are_undone(tiny, name, stored, expected):
    row = {"text": stored, "label": 0}
    splits = tiny(name, rows={split: [row] for split in ("train", "val", "test")}, label="label")
    assert found(splits, "test") == [(expected, "neg")]


def test_title_and_description_of_news_are_joined(tiny):
    features = {
        "title": tfds.features.Text(),
        "description": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["World", "Sports"]),
    }
    row = {"title": "Bears Claw Back", "description": "Wall Street's dwindling\\band", "label": 1}
    rows = {split: [row] for split in ("train", "validation", "test")}
    splits = tiny("ag_news_subset", features, rows)
    assert found(splits, "test") == [("Bears Claw Back Wall Street's dwindling band", "Sports")]
    splits = tiny("ag_news_subset", features, rows, text="title")
    assert found(splits, "test") == [("Bears Claw Back", "Sports")]


FEATURES = {
    "quote": tfds.features.Text(),
    "coarse": tfds.features.ClassLabel(names=["x", "y"]),
    "fine": tfds.features.ClassLabel(names=["x1", "x2", "y1"]),
    "stars": np.int32,
    "tags": tfds.features.Tensor(shape=(), dtype=np.object_),
    "scores": tfds.features.Tensor(shape=(2,), dtype=np.float32),
}
ROWS = {
    split: [
        {"quote": "q", "coarse": 1, "fine": 2, "stars": 5, "tags": "b|a", "scores": [0, 1]},
        {"quote": "r", "coarse": 0, "fine": 1, "stars": 1, "tags": "", "scores": [0, 1]},
    ]
    for split in ("train", "validation", "test")
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [("q", "y"), ("r", "x")]),
        ({"label": "fine"}, [("q", "y1"), ("r", "x2")]),
        ({"label": "stars"}, [("q", "5"), ("r", "1")]),
        ({"label": "tags"}, [("q", "b|a")]),
        ({"text": "tags,quote", "label": "coarse"}, [("b|a q", "y"), ("r", "x")]),
    ],
)
def test_features_are_guessed_or_named(tiny, fields, expected):
    assert found(tiny(features=FEATURES, rows=ROWS, **fields), "test") == expected


def test_several_labels_of_a_set(tiny):
    splits = tiny(features=FEATURES, rows=ROWS, label="tags", separator="|")
    assert splits.labels == ("a", "b")
    texts = [example["input"] for example in splits.test.read().as_numpy_iterator()]
    sets = splits.test.annotations[LABEL_SETS]
    assert dict(zip(texts, sets.tolist(), strict=True)) == {b"q": [1, 1], b"r": [0, 0]}
    assert sets.dtype == np.float32


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "nothing"}, r"'nothing' cannot be the text among .* by --text.text_field"),
        ({"text": "scores"}, r"'scores' cannot be the text among .*coarse \(ClassLabel\)"),
        ({"label": "scores"}, r"'scores' cannot be the label among .* by --text.label_field"),
    ],
)
def test_features_that_cannot_be_used(tiny, fields, expected):
    with pytest.raises(data.DataError, match=expected):
        tiny(features=FEATURES, rows=ROWS, **fields)


def test_features_that_cannot_be_guessed(tiny):
    features = {"one": tfds.features.Text(), "two": tfds.features.Text()}
    with pytest.raises(data.DataError, match=r"cannot guess the text among one \(Text\)") as caught:
        tiny(features=features)
    assert "cannot guess the label" in str(caught.value)


def test_sets_that_do_not_fit_in_memory(tiny, monkeypatch):
    monkeypatch.setattr(public_texts, "_MAX_BYTES", 100)
    with pytest.raises(data.DataError, match="kept in memory; write the part that you need"):
        tiny()


def test_unknown_sets_suggest_others(tmp_path):
    with pytest.raises(data.DataError, match="does not know 'imdb_review'.* mean imdb_reviews"):
        data.load("tfds:imdb_review", kind="texts", data_dir=str(tmp_path))


@pytest.mark.parametrize("kind", ["texts", "unlabelled_texts"])
def test_unknown_names_list_what_is_accepted(kind):
    expected = r"no known name and no path; expected one of reviews, imdb.*tfds:NAME.* \.txt file"
    with pytest.raises(data.DataError, match=expected):
        data.load("no such thing", kind=kind)


def test_reviews():
    splits = data.load("reviews", kind="texts")
    assert splits.labels == ("negative", "positive")
    assert min(splits.train.size, splits.validation.size, splits.test.size) > 100
    unlabelled = data.load("reviews", kind="unlabelled_texts")
    assert (unlabelled.labels, unlabelled.train.size) == ((), splits.train.size)


@needs("trec")
def test_trec():
    splits = data.load("trec", kind="texts")
    assert splits.labels == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    assert (splits.train.size + splits.validation.size, splits.test.size) == (5452, 500)
    assert ("Where is the volcano Mauna Loa ?", "LOC") in found(splits, "test")
    labels, everything = data.load_all("trec", kind="texts", fields=TextFields(label="label-fine"))
    assert (len(labels), everything.size) == (47, 5952)


@needs("imdb_reviews")
def test_imdb_reviews():
    splits = data.load("imdb_reviews", kind="unlabelled_texts")
    assert (splits.labels, splits.train.size + splits.validation.size) == ((), 75_000)
    assert splits.test.size == 25_000
    first = next(splits.test.take(np.array([0])).read().as_numpy_iterator())
    assert first["id"] == b"imdb_reviews/test/0"
    assert first["input"].startswith(b"There are films that make careers.")
    assert b"<br />" not in first["input"]
