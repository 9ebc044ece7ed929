"""Augmentation of training pictures, and what is read from disk."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from apps.image_recognition.config import QUICK, AugmentationConfig, ImageConfig
from apps.image_recognition.dataset import build_augmentation, load, load_split, write_samples
from apps.image_recognition.preprocess import ImagePreprocess

OFF = AugmentationConfig(shift=0.0, flip="never", cutout=0.0)
WORDS, DIGITS = ("cat", "dog"), ("0", "1")
EVERYTHING = AugmentationConfig(
    shift=0.1, flip="always", cutout=0.3, mixup=0.4, cutmix=1.0, rand_augment=5
)


def preprocess(channels: int = 3) -> ImagePreprocess:
    layer = ImagePreprocess(16, 16, channels)
    pictures = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    layer.adapt(tf.data.Dataset.from_tensors(pictures))
    return layer


def augmentation(wanted: AugmentationConfig, labels: tuple[str, ...] = WORDS, channels: int = 3):
    keras.utils.set_random_seed(0)
    return build_augmentation(replace(QUICK, augmentation=wanted), preprocess(channels), labels)


def batch(channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.normal(size=(32, 16, 16, channels)).astype(np.float32)
    return images, np.eye(2, dtype=np.float32)[random.integers(0, 2, 32)]


def test_nothing_switched_on_is_no_augmentation() -> None:
    assert augmentation(OFF) is None


@pytest.mark.parametrize(
    "wanted",
    [
        replace(OFF, shift=0.1),
        replace(OFF, flip="always"),
        replace(OFF, cutout=0.3),
        replace(OFF, mixup=0.4),
        replace(OFF, cutmix=1.0),
        replace(OFF, rand_augment=5),
        EVERYTHING,
    ],
)
def test_each_change_happens_in_training_only(wanted: AugmentationConfig) -> None:
    layer = augmentation(wanted)
    images, targets = batch()
    changed, mixed = layer(images, targets, training=True)
    assert changed.shape == images.shape
    assert np.any(np.asarray(changed) != images)
    np.testing.assert_allclose(np.sum(mixed, axis=-1), 1.0, rtol=1e-5)
    same, unmixed = layer(images, targets, training=False)
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(unmixed, targets)


def test_equal_seeds_give_equal_changes_and_each_batch_another_one() -> None:
    first, second = augmentation(EVERYTHING), augmentation(EVERYTHING)
    once, again = first(*batch(), training=True), first(*batch(), training=True)
    assert np.any(np.asarray(once[0]) != np.asarray(again[0]))
    np.testing.assert_array_equal(once[0], second(*batch(), training=True)[0])


def test_the_state_of_chance_is_in_the_variables() -> None:
    layer = augmentation(EVERYTHING)
    layer(*batch(), training=True)
    state = [variable.numpy() for variable in layer.variables]
    assert state
    expected = layer(*batch(), training=True)
    for variable, value in zip(layer.variables, state, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(layer(*batch(), training=True)[0], expected[0])


def test_digits_are_not_mirrored_and_things_are() -> None:
    only_auto = replace(OFF, flip="auto")
    assert augmentation(only_auto, DIGITS) is None
    assert augmentation(only_auto, ("7", "12")) is None
    assert augmentation(only_auto, ("a", "b")) is None
    assert augmentation(only_auto, WORDS) is not None
    assert augmentation(replace(OFF, flip="always"), DIGITS) is not None


def test_a_mirrored_picture_is_the_picture_or_its_mirror_image() -> None:
    images, targets = batch()
    changed = np.asarray(
        augmentation(replace(OFF, flip="always"))(images, targets, training=True)[0]
    )
    straight = (changed == images).all((1, 2, 3))
    mirrored = (changed == images[:, :, ::-1]).all((1, 2, 3))
    assert np.all(straight ^ mirrored)
    assert straight.any() and mirrored.any()


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_shift_is_by_whole_pixels_and_at_least_one(share: float) -> None:
    images = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1).repeat(32, axis=0)
    layer = augmentation(replace(OFF, shift=share), channels=1)
    changed = np.asarray(layer(images, batch()[1], training=True)[0])
    assert set(np.unique(changed)) <= set(range(256))
    middles = {value % 16 - 8 for value in changed[:, 8, 8, 0]}
    assert middles == set(range(-max(1, round(share * 16)), max(1, round(share * 16)) + 1))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A user's folder: photographs of several sizes and formats, one of them broken."""
    random = np.random.default_rng(0)
    for label, color in (("cat", 200), ("dog", 40)):
        (tmp_path / label).mkdir()
        for index in range(10):
            size = (20 + index, 30, 3)
            pixels = np.clip(random.normal(color, 20, size), 0, 255).astype(np.uint8)
            suffix = ("jpg", "png", "webp")[index % 3]
            Image.fromarray(pixels).save(tmp_path / label / f"{index}.{suffix}")
    (tmp_path / "cat" / "broken.jpg").write_bytes((tmp_path / "cat" / "0.jpg").read_bytes()[:150])
    return tmp_path


def own(photos: Path, **changes: object):
    config = replace(QUICK, data=str(photos), image=ImageConfig(size=16))
    return replace(config, split=replace(config.split, max_unreadable=0.2), **changes)


def test_a_broken_photograph_is_named_and_left_out(photos: Path) -> None:
    survey = load(own(photos))
    survey.raise_errors()
    sizes = [getattr(survey.splits, name).size for name in ("train", "validation", "test")]
    assert sum(sizes) == 20
    unreadable = [problem for problem in survey.problems if "broken.jpg" in problem.where]
    assert len(unreadable) == 1
    assert "unreadable" in unreadable[0].message


def test_all_examples_can_be_read_whatever_their_split(photos: Path) -> None:
    labels, split, problems = load_split(own(photos), "all")
    assert labels == ("cat", "dog")
    assert split.size == 20
    assert len(problems) == 1
    files = {example["id"] for example in split.read().as_numpy_iterator()}
    assert len(files) == 20
    assert load_split(own(photos), "test")[1].size < 20


def test_samples_are_the_files_of_the_test_examples(photos: Path, tmp_path: Path) -> None:
    survey = load(own(photos))
    paths = write_samples(survey.splits.test, survey.splits.labels, tmp_path / "samples")
    assert 0 < len(paths) <= 4
    for path in paths:
        with Image.open(path) as image:
            assert image.size[0] == 30
        assert any(label in Path(path).name for label in survey.splits.labels)
