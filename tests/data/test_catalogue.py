from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import data
from data import public_images
from tests.public_sets import needs


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Grey images whose first pixel is the number of the example."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(4, 4, 1)),
            "label": tfds.features.ClassLabel(names=["round", "square"]),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        test = self._examples(3, label=-1)
        return {"train": self._examples(40), "val": self._examples(6), "test": test}

    def _examples(self, size: int, label: int | None = None):
        for row in range(size):
            image = np.full((4, 4, 1), row, np.uint8)
            yield row, {"image": image, "label": row % 2 if label is None else label}

    def _generate_examples(self):
        raise NotImplementedError


class Texts(Shapes):
    """A set that is not one of images."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": [("0", {"text": "hello"})]}


def contents(split: data.Split, seed: int | None = None) -> list[tuple[bytes, int, bytes]]:
    return [(e["input"], int(e["label"]), e["id"]) for e in split.read(seed).as_numpy_iterator()]


def test_digits():
    splits = data.load("digits")
    parts = [splits.train, splits.validation, splits.test]
    assert [part.size for part in parts] == [1437, 180, 180]
    assert splits.labels == tuple("0123456789")
    assert len({name for part in parts for name in part.ids}) == 1797
    for part in parts:
        assert np.ptp(np.bincount(part.labels) / part.size) < 0.03
    example = next(splits.test.read().as_numpy_iterator())
    image = tf.io.decode_png(example["input"]).numpy()
    row = int(example["id"].decode().removeprefix("digits/all/"))
    expected = public_images.read_digits().labels[row]
    assert image.shape == (8, 8, 1)
    assert image.max() == 255
    assert example["label"] == expected


def test_digits_are_held_out_by_seed():
    first, again, other = (data.load("digits", seed=seed).test.ids.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_folder_and_a_table_of_the_same_files(tmp_path):
    lines = ["path,label"]
    for label in ("cat", "dog"):
        for row in range(10):
            path = tmp_path / label / f"{row}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((2, 2), row, np.uint8)).save(path)
            lines.append(f"{label}/{row}.png,{label}")
    folder = data.load(str(tmp_path))
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines))
    listed = data.load(str(table), validation_fraction=0.2, test_fraction=0.3)
    assert folder.labels == listed.labels == ("cat", "dog")
    assert (folder.train.size, folder.validation.size, folder.test.size) == (16, 2, 2)
    assert (listed.train.size, listed.validation.size, listed.test.size) == (10, 4, 6)
    assert [problem.where for problem in folder.problems] == []
    for value, label, name in contents(listed.train, seed=1):
        path = Path(name.decode())
        assert (value, listed.labels[label]) == (path.read_bytes(), path.parent.name)


@pytest.mark.parametrize("name", ["no such thing", "/no/such/folder", "tfds", __file__])
def test_unknown_names_list_what_is_accepted(name):
    with pytest.raises(data.DataError, match=r"digits, mnist, .*tfds:NAME.*\.csv \.tsv \.jsonl"):
        data.load(name)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="kind='smell'"):
        data.load("digits", kind="smell")


@pytest.fixture(params=["memory", "stream"])
def shapes(request, tmp_path, monkeypatch):
    if request.param == "stream":
        monkeypatch.setattr(public_images, "_MAX_EXAMPLES_IN_MEMORY", 10)
    return data.load("tfds:shapes", data_dir=str(tmp_path))


def test_tfds_sets_keep_their_bytes_ids_and_splits(shapes):
    assert shapes.labels == ("round", "square")
    assert (shapes.train.size, shapes.validation.size, shapes.test.size) == (36, 6, 4)
    images = {}
    for part in (shapes.train, shapes.test):
        for value, label, name in contents(part):
            pixel = int(tf.io.decode_png(value)[0, 0, 0])
            assert label == pixel % 2
            images[name.decode()] = pixel
    assert sorted(images.values()) == list(range(40))
    assert set(images) == {f"tfds:shapes/train/{row}" for row in range(40)}


def test_tfds_sets_have_seeded_orders(shapes):
    assert contents(shapes.train, 1) == contents(shapes.train, 1)
    assert contents(shapes.train, 1) != contents(shapes.train, 2)
    assert sorted(contents(shapes.train, 1)) == sorted(contents(shapes.train))


def test_splits_published_without_labels_are_replaced(shapes):
    (problem,) = shapes.problems
    assert (problem.severity, problem.where) == ("warning", "tfds:shapes/test")


def test_tfds_sets_of_other_things_are_refused(tmp_path):
    with pytest.raises(data.DataError, match=r"expected features image .* found text \(Text\)"):
        data.load("tfds:texts", data_dir=str(tmp_path))


def test_unknown_tfds_names_suggest_others(tmp_path):
    with pytest.raises(data.DataError, match=r"does not know 'oxford_flower102'.* mean oxford_fl"):
        data.load("tfds:oxford_flower102", data_dir=str(tmp_path))


def test_failed_downloads_say_how_to_go_on(tmp_path, monkeypatch):
    def refuse(self) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(Shapes, "download_and_prepare", refuse)
    with pytest.raises(data.DataError, match="no route to host. Run once on a connected machine"):
        data.load("tfds:shapes", data_dir=str(tmp_path))


@needs("fashion_mnist")
def test_fashion_mnist():
    splits = data.load("fashion_mnist")
    assert (splits.train.size, splits.validation.size, splits.test.size) == (54000, 6000, 10000)
    assert splits.labels[0] == "T-shirt/top"
    (example,) = splits.test.take(np.array([3])).read().as_numpy_iterator()
    assert example["id"] == b"fashion_mnist/test/3"
    assert tf.io.decode_png(example["input"]).shape == (28, 28, 1)
