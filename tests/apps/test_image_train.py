"""A user's own photographs, from the folder to predictions, and the switches of training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from apps.image_recognition.config import QUICK, AugmentationConfig, ModelConfig
from apps.image_recognition.predict import predict
from apps.image_recognition.train import build_app
from data import DataError
from shared.export.repository import versions
from shared.export.saved_model import load_saved_model
from shared.training.command_line import RunOptions
from shared.training.config import ConfigError, OptimizerConfig, TrainingConfig
from shared.training.run import run

SMALL = replace(
    QUICK,
    model=ModelConfig(widths=(8, 16), blocks=(0, 0)),
    augmentation=AugmentationConfig(shift=0.0),
    optimizer=OptimizerConfig(learning_rate=0.02),
    training=TrainingConfig(epochs=8, batch_size=8),
)
COLORS = {"fire": (220, 60, 20), "sea": (20, 60, 220), "wood": (30, 160, 40)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three colours, of mixed sizes and formats, some in nested folders."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for label, color in COLORS.items():
        (folder / label / "more").mkdir(parents=True)
        for index in range(20):
            pixels = random.normal(color, 30, (random.integers(20, 90), 40 + index, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            place = folder / label / "more" if index % 4 == 0 else folder / label
            image.save(place / f"{index}.{('jpg', 'png', 'bmp', 'JPEG')[index % 4]}")
    return folder


def options(folder: Path) -> RunOptions:
    return RunOptions(runs=folder / "runs", saved_models=folder / "saved_models")


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One run with every switch of training on, on a user's own photographs."""
    training = replace(SMALL.training, precision="mixed_bfloat16", class_weights=True, xla=True)
    optimizer = replace(SMALL.optimizer, average_decay=0.9, clip_norm=1.0)
    config = replace(SMALL, data=str(photos), training=training, optimizer=optimizer)
    return run(build_app(), config, options(tmp_path_factory.mktemp("own")))


def test_own_photographs_are_learnt(trained: dict[str, object]) -> None:
    assert trained["test"]["accuracy"] >= 0.9
    report = (Path(trained["run"]) / "report.html").read_text()
    assert all(label in report for label in COLORS)


def test_the_exported_model_names_a_new_photograph(
    trained: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "new.webp"
    Image.new("RGB", (300, 200), COLORS["sea"]).save(path)
    (prediction,) = predict([path], load_saved_model(Path(trained["path"])))
    assert (prediction.label, prediction.error) == ("sea", "")
    assert set(prediction.labels) == set(COLORS)


def test_a_reduced_precision_is_exported_in_float32(trained: dict[str, object]) -> None:
    model = tf.saved_model.load(trained["path"])
    variables = model.signatures["serving_default"].variables
    assert {variable.dtype for variable in variables} == {tf.float32}
    metrics = json.loads((Path(trained["path"]) / "assets.extra" / "metrics.json").read_text())
    assert metrics["export"]["max_abs_difference"] < 1e-4


def test_a_session_answers_as_the_loaded_model(trained: dict[str, object], photos: Path) -> None:
    """TensorFlow Serving runs a SavedModel in a session, not through the Python loader."""
    files = [path.read_bytes() for path in sorted(photos.glob("*/*.jpg"))[:3]] + [b"no image"]
    expected = load_saved_model(Path(trained["path"])).predict(image_bytes=files)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], trained["path"])
        signature = loaded.signature_def["serving_default"]
        outputs = {name: tensor.name for name, tensor in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["image_bytes"].name: files})
    for name, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[name], value, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], value)


def test_data_that_cannot_be_trained_on_publishes_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos" / "only").mkdir(parents=True)
    for index in range(12):
        Image.new("RGB", (8, 8), (20 * index, 0, 0)).save(
            tmp_path / "photos" / "only" / f"{index}.png"
        )
    with pytest.raises(DataError, match="only"):
        run(build_app(), replace(SMALL, data=str(tmp_path / "photos")), options(tmp_path))
    assert versions(tmp_path / "saved_models" / "image_recognition") == []


def test_a_metric_that_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    training = replace(SMALL.training, monitor="validation_f1")
    with pytest.raises(ConfigError, match="validation_f1.*validation_accuracy"):
        run(build_app(), replace(SMALL, training=training), options(tmp_path))
