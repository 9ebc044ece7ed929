import csv
import io
import json
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from shared.training.config import read_config

OUTPUTS = {"label", "score", "labels", "scores", "probabilities", "error"}
LABELS = [str(digit) for digit in range(10)]
BAD = {
    "empty": "empty",
    "text": "unsupported",
    "truncated_jpeg": "corrupt",
    "truncated_png": "corrupt",
    "huge_png": "too_large",
}


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def huge_png() -> bytes:
    """A few bytes that claim 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">II5B", 50_000, 50_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def digit(image_run) -> Image.Image:
    """A grey handwritten digit of 40 x 30 pixels (height x width)."""
    sample = min((image_run.folder / "samples").iterdir())
    return Image.open(io.BytesIO(sample.read_bytes())).resize((30, 40))


@pytest.fixture(scope="module")
def files(digit) -> dict[str, bytes]:
    """Files that a user may send: good ones, and those of `BAD`."""
    rgb = digit.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [rgb.rotate(90), rgb.rotate(180)]
    transparent = Image.merge("RGBA", (*rgb.split(), digit))
    jpeg = encode(rgb.resize((300, 400)), "JPEG")
    sixteen_bits = Image.fromarray(np.asarray(digit, np.uint16) * 257)
    return {
        "grey_png": encode(digit, "PNG"),
        "empty": b"",
        "rgb_png": encode(rgb, "PNG"),
        "text": b"This is no picture.",
        "truncated_jpeg": jpeg[: len(jpeg) // 2],
        "jpeg": jpeg,
        "cmyk_jpeg": encode(rgb.convert("CMYK"), "JPEG"),
        "rotated_jpeg": encode(rgb.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif),
        "huge_png": huge_png(),
        "animated_gif": encode(rgb, "GIF", save_all=True, append_images=frames),
        "sixteen_bit_png": encode(sixteen_bits, "PNG"),
        "rgba_png": encode(transparent, "PNG"),
        "truncated_png": encode(rgb, "PNG")[:-40],
        "one_pixel": encode(Image.new("L", (1, 1), 200), "PNG"),
        "bmp": encode(rgb, "BMP"),
        "webp": encode(rgb, "WEBP", lossless=True),
    }


@pytest.fixture(scope="module")
def answers(image_model, files) -> dict[str, np.ndarray]:
    return image_model.predict(image_bytes=list(files.values()))


def row_of(answers: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    return {name: value[row] for name, value in answers.items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in ("label", "labels", "error"):
        np.testing.assert_array_equal(one[name], other[name])
    for name in ("score", "scores", "probabilities"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_the_files_that_the_design_names_are_there(image_run):
    assert image_run.model == image_run.saved_models / "image_recognition" / "1"
    names = ["saved_model.pb", "variables/variables.index", "assets"]
    extra = ["tf_serving_warmup_requests", "config.json", "metrics.json", "labels.txt"]
    for name in (*names, *(f"assets.extra/{file}" for file in extra)):
        assert (image_run.model / name).exists(), name
    assert [path.name for path in image_run.model.parent.iterdir()] == ["1"]
    names = ["config.json", "history.csv", "errors.jsonl", "report.html", "metrics.json"]
    for name in (*names, "checkpoints", "samples"):
        assert (image_run.folder / name).exists(), name


def test_what_the_run_returns(image_run):
    result = image_run.result
    assert result["app"] == "image_recognition" and result["version"] == 1
    assert result["path"] == str(image_run.model)
    assert {"accuracy", "top_k_accuracy", "macro_f1", "calibration_error", "loss"} == set(
        result["test"]
    )
    assert result["test"]["accuracy"] > 0.7
    assert 0 < result["train_seconds"] < result["total_seconds"]
    assert json.loads(json.dumps(result)) == result


def test_metrics_config_and_labels_of_the_model(image_run):
    extra = image_run.model / "assets.extra"
    metrics = json.loads((extra / "metrics.json").read_text())
    assert metrics["test"] == image_run.result["test"]
    assert set(metrics["validation"]) == set(metrics["test"])
    assert metrics["epochs"] == 2 and metrics["parameters"] > 0 and metrics["temperature"] > 0
    assert {"max_abs_difference", "label_agreement", "load_seconds", "bytes"} <= set(
        metrics["export"]
    )
    details = json.loads((extra / "config.json").read_text())
    assert {"app", "config", "data", "seed", "versions", "git_commit"} <= set(details)
    assert {"python", "tensorflow", "keras"} <= set(details["versions"])
    assert details["calibration"] == {"temperature": metrics["temperature"]}
    assert (extra / "labels.txt").read_text() == "".join(f"{label}\n" for label in LABELS)


@pytest.mark.parametrize("place", ["model/assets.extra", "folder"])
def test_the_written_configuration_runs_again(image_run, place):
    owner, *inside = place.split("/")
    path = getattr(image_run, owner).joinpath(*inside, "config.json")
    assert read_config(type(image_run.config), path) == image_run.config


def test_history_has_a_row_per_epoch(image_run):
    with (image_run.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {"loss", "validation_loss", "accuracy", "validation_accuracy"} <= set(rows[0])
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_mistakes_are_those_of_the_test_examples_worst_first(image_run):
    lines = (image_run.folder / "errors.jsonl").read_text().splitlines()
    errors = [json.loads(line) for line in lines]
    tested = round(0.2 * 1797)
    assert len(errors) == round((1 - image_run.result["test"]["accuracy"]) * tested)
    scores = [error["score"] for error in errors]
    assert scores == sorted(scores, reverse=True)
    assert all(e["label"] != e["predicted"] and e["label_score"] <= e["score"] for e in errors)


def test_every_row_has_an_answer_or_its_own_error(files, answers):
    assert set(answers) == OUTPUTS
    for row, name in enumerate(files):
        answer = row_of(answers, row)
        error = answer["error"].decode()
        if name in BAD:
            assert error.startswith(f"{BAD[name]}: "), (name, error)
            assert answer["label"] == b"" and np.all(answer["labels"] == b"")
            assert answer["score"] == 0 and not np.any(answer["scores"])
            assert not np.any(answer["probabilities"])
        else:
            assert error == "", name
            assert answer["label"].decode() in LABELS


def test_labels_are_sorted_and_probabilities_sum_to_one(files, answers):
    good = answers["error"] == b""
    assert good.sum() == len(files) - len(BAD)
    probabilities, scores = answers["probabilities"][good], answers["scores"][good]
    assert probabilities.shape == (good.sum(), 10) and scores.shape == (good.sum(), 5)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(scores, -np.sort(-probabilities, axis=-1)[:, :5])
    indices = np.array([[int(label) for label in row] for row in answers["labels"][good]])
    np.testing.assert_array_equal(np.take_along_axis(probabilities, indices, axis=-1), scores)
    assert np.all(np.sort(indices, axis=-1)[:, 1:] != np.sort(indices, axis=-1)[:, :-1])
    np.testing.assert_array_equal(answers["label"][good], answers["labels"][good][:, 0])
    np.testing.assert_array_equal(answers["score"][good], scores[:, 0])


def test_dtypes_are_those_of_the_design(answers):
    strings = {"label", "labels", "error"}
    assert {name for name, value in answers.items() if value.dtype == object} == strings
    assert {answers[name].dtype for name in OUTPUTS - strings} == {np.dtype(np.float32)}


def test_a_row_alone_is_answered_as_in_the_batch(image_model, files, answers):
    for row, content in enumerate(files.values()):
        alone = image_model.predict(image_bytes=[content])
        assert_same(row_of(alone, 0), row_of(answers, row))


def test_the_order_of_rows_changes_nothing(image_model, files, answers):
    order = np.random.default_rng(0).permutation(len(files))
    contents = list(files.values())
    shuffled = image_model.predict(image_bytes=[contents[row] for row in order])
    for place, row in enumerate(order):
        assert_same(row_of(shuffled, place), row_of(answers, row))


def test_one_picture_in_many_formats_is_the_same_picture(files, answers):
    """Grey, colour, 16 bits, GIF, BMP and WebP lose nothing; JPEG a little."""
    rows = {name: row for row, name in enumerate(files)}
    expected = answers["probabilities"][rows["grey_png"]]
    for name in ("rgb_png", "sixteen_bit_png", "animated_gif", "bmp", "webp"):
        np.testing.assert_allclose(answers["probabilities"][rows[name]], expected, atol=1e-3)
    for name in ("jpeg", "rotated_jpeg", "cmyk_jpeg"):
        assert answers["label"][rows[name]] == answers["label"][rows["grey_png"]], name


def test_an_empty_batch_has_empty_answers(image_model):
    answers = image_model.predict(image_bytes=tf.zeros([0], tf.string))
    shapes = {"labels": (0, 5), "scores": (0, 5), "probabilities": (0, 10)}
    assert {name: value.shape for name, value in answers.items()} == {
        name: shapes.get(name, (0,)) for name in OUTPUTS
    }


def test_a_batch_of_bad_files_alone(image_model):
    answers = image_model.predict(image_bytes=[b"", b"text", b"\x89PNG\r\n\x1a\n"])
    assert np.all(answers["error"] != b"") and np.all(answers["label"] == b"")


@pytest.mark.parametrize("name", ["grey_png", "rgb_png"])
@pytest.mark.parametrize("copies", [1, 3])
def test_pixels_agree_with_the_file(image_model, files, name, copies):
    pixels = np.asarray(Image.open(io.BytesIO(files[name])))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    asked = image_model.predict("pixels", image=np.stack([pixels] * copies))
    expected = image_model.predict(image_bytes=[files[name]])
    for row in range(copies):
        assert_same(row_of(asked, row), row_of(expected, 0))


def test_pixels_of_an_empty_batch(image_model):
    answers = image_model.predict("pixels", image=np.zeros((0, 8, 8, 3), np.uint8))
    assert answers["probabilities"].shape == (0, 10) and answers["error"].shape == (0,)
