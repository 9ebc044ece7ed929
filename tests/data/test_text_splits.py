import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import data
from data import TextFields
from data.texts import LABEL_SETS


def found(splits: data.Splits, name: str) -> list[tuple[str, str]]:
    split = getattr(splits, name)
    texts = [example["input"].decode() for example in split.read().as_numpy_iterator()]
    labels = (
        [splits.labels[label] for label in split.labels] if splits.labels else [""] * split.size
    )
    return sorted(zip(texts, labels, strict=True))


def write_own(path: Path, labels: list[object]) -> str:
    rows = [{"text": f"text {row}", "label": label} for row, label in enumerate(labels)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_own_texts_are_held_out_by_seed(tmp_path):
    path = write_own(tmp_path / "data.jsonl", ["a", "b"] * 20)

    def load(seed: int) -> data.Splits:
        fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
        return data.load(path, kind="texts", seed=seed, **fractions)

    splits = load(1)
    assert (splits.train.size, splits.validation.size, splits.test.size) == (28, 4, 8)
    assert Counter(splits.test.labels) == {0: 4, 1: 4}
    for (text, label), where in zip(found(splits, "test"), sorted(splits.test.ids), strict=False):
        assert label == ("a", "b")[int(text.split()[1]) % 2]
        assert where.startswith(f"{path}:")
    assert load(1).test.ids.tolist() == splits.test.ids.tolist() != load(2).test.ids.tolist()


def test_own_texts_without_labels_are_held_out(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"line {row}\n" for row in range(10)))
    splits = data.load(str(path), kind="unlabelled_texts")
    assert (splits.labels, splits.train.size, splits.test.size) == ((), 8, 1)
    everything = [row for name in ("train", "validation", "test") for row in found(splits, name)]
    assert sorted(everything) == [(f"line {row}", "") for row in range(10)]
    path.write_text("one line")
    with pytest.raises(data.DataError, match="cannot cut 0 of 1 training examples as test"):
        data.load(str(path), kind="unlabelled_texts")


def test_every_label_of_sets_keeps_a_training_text(tmp_path):
    labels = [["common"], [], ["rare0"], ["rare1", "common"], ["rare2"], ["twice"]] + [["twice"]]
    path = write_own(tmp_path / "data.jsonl", [*labels, *[["common", "other"], []] * 20])
    for seed in range(5):
        splits = data.load(path, kind="texts", fields=TextFields(separator=","), seed=seed)
        parts = (splits.train, splits.validation, splits.test)
        assert [part.size for part in parts] == [37, 5, 5]
        assert len({name for part in parts for name in part.ids}) == 47
        assert splits.train.annotations[LABEL_SETS].any(axis=0).all()
        first = splits.train.annotations[LABEL_SETS].argmax(axis=1)
        one = splits.train.annotations[LABEL_SETS].sum(axis=1) == 1
        np.testing.assert_array_equal(splits.train.labels[one], first[one])


def test_sets_of_which_none_can_be_held_out(tmp_path):
    path = write_own(tmp_path / "data.jsonl", [[f"label {row}"] for row in range(10)])
    with pytest.raises(data.DataError, match="cannot cut 1 of 10 .* leave one to every label"):
        data.load(path, kind="texts", fields=TextFields(separator=","))


def test_data_without_any_label(tmp_path):
    path = write_own(tmp_path / "data.jsonl", [[], []])
    with pytest.raises(data.DataError, match="no text has a label"):
        data.load(path, kind="texts", fields=TextFields(separator=","))
