import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import data
from apps.image_recognition.export import SIGNATURES
from apps.image_recognition.model import build_model
from apps.image_recognition.preprocess import ImagePreprocess
from data.splits import from_bytes
from shared.export.repository import versions
from shared.export.saved_model import ServedModel
from shared.export.verification import ExportError
from shared.training.app import Trained
from shared.training.run import export

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)


@pytest.fixture
def trained(image_run) -> Trained:
    """An image model with random weights, as if it had been trained."""
    preprocess = ImagePreprocess(8, 8, 1)
    preprocess.adapt(tf.data.Dataset.from_tensors(PICTURES))
    labels = ("dark", "light")
    model = build_model(image_run.config, preprocess, labels)
    return Trained(image_run.config, labels, preprocess, model, {"temperature": 0.1})


def splits() -> data.Splits:
    files = [tf.io.encode_png(picture).numpy() for picture in PICTURES]
    split = from_bytes(files, [0, 1] * 3, [f"picture {n}" for n in range(6)])
    return data.Splits("pictures", ("dark", "light"), split, split, split)


def test_export_publishes_what_is_equal(image_run, trained, tmp_path):
    metrics = {"test": {"accuracy": 0.5}}
    served = ServedModel(
        image_run.app.build_signatures(trained), trained.labels, trained.calibration
    )
    path = export(image_run.app, trained, served, splits(), metrics, tmp_path)
    assert path == tmp_path / "image_recognition" / "1"
    assert metrics["export"]["max_abs_difference"] < 1e-5
    assert json.loads((path / "assets.extra" / "metrics.json").read_text()) == metrics


def test_export_publishes_nothing_that_is_not(image_run, trained, tmp_path):
    served = ServedModel(
        image_run.app.build_signatures(trained), trained.labels, trained.calibration
    )
    request = ("pixels", {"image_bytes": [b"no pixels"]})
    app = replace(image_run.app, build_warmup=lambda files: [request])
    other = replace(trained, calibration={"temperature": 1.0})
    with pytest.raises(ExportError, match=r"(?s)answers differ by .*a warm-up request fails"):
        export(app, other, served, splits(), {}, tmp_path)
    assert versions(tmp_path / "image_recognition") == []
    assert list((tmp_path / "image_recognition").iterdir()) == []


def test_the_image_signatures_are_held_to_the_design():
    answers = {"label", "score", "labels", "scores", "probabilities", "error"}
    assert {name: set(s.inputs) for name, s in SIGNATURES.items()} == {
        "serving_default": {"image_bytes"},
        "pixels": {"image"},
    }
    assert all(set(signature.outputs) == answers for signature in SIGNATURES.values())
