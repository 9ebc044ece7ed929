"""The network."""

from dataclasses import replace

import numpy as np
import pytest

from apps.image_recognition.config import BEST, QUICK, ModelConfig
from apps.image_recognition.model import build_model
from apps.image_recognition.preprocess import ImagePreprocess

SMALL = ModelConfig(widths=(4, 8), blocks=(1, 1))


def network(model: ModelConfig, labels: tuple[str, ...] = ("cat", "dog"), size: int = 12):
    return build_model(replace(QUICK, model=model), ImagePreprocess(size, size, 3), labels)


def images(count: int = 3, size: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("config", [QUICK, BEST], ids=["quick", "best"])
@pytest.mark.parametrize("size", [8, 28])
def test_presets_give_one_logit_per_label(config, size: int) -> None:
    labels = tuple("abc")
    model = build_model(config, ImagePreprocess(size, size, 1), labels)
    logits = model(np.zeros((2, size, size, 1), np.float32))
    assert logits.shape == (2, 3)
    assert logits.dtype == "float32"


def test_the_best_preset_has_about_a_million_parameters() -> None:
    model = build_model(BEST, ImagePreprocess(28, 28, 1), tuple("abcdefghij"))
    assert 1_000_000 < model.count_params() < 1_200_000


def test_a_row_alone_is_answered_as_in_a_batch() -> None:
    model = network(SMALL)
    together = model(images()).numpy()
    alone = np.concatenate([model(images()[row : row + 1]).numpy() for row in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_mirror_average_answers_a_mirror_image_alike_but_not_in_training() -> None:
    model = network(replace(SMALL, mirror_average=True))
    mirrored = images()[:, :, ::-1]
    np.testing.assert_allclose(model(images()), model(mirrored), atol=1e-5)
    assert not np.allclose(
        model(images(), training=True), model(mirrored, training=True), atol=1e-4
    )


def test_the_mirror_average_is_the_mean_of_two_answers() -> None:
    averaging = network(replace(SMALL, mirror_average=True))
    plain = network(SMALL)
    plain.set_weights(averaging.get_weights())
    expected = (plain(images()).numpy() + plain(images()[:, :, ::-1]).numpy()) / 2
    np.testing.assert_allclose(averaging(images()), expected, atol=1e-6)


def test_characters_are_not_mirrored() -> None:
    assert network(replace(SMALL, mirror_average=True), ("1", "2")).name == "network"


def test_dropout_works_in_training_only() -> None:
    model = network(replace(SMALL, dropout=0.5))
    np.testing.assert_array_equal(model(images()), model(images()))
    first, second = model(images(), training=True), model(images(), training=True)
    assert np.any(np.asarray(first) != np.asarray(second))
