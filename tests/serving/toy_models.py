"""The models that the conformance tests ask: `python -m tests.serving.toy_models FOLDER`.

TensorFlow Serving serves them with `--model_config_file=FOLDER/models.config`, mounted as
`/models`; then `pytest tests/serving --server http://localhost:8501` asks it.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from shared.export.warmup import write_warmup

CONFIG = """
model_config_list {
  config {
    name: "scale"
    base_path: "/models/scale"
    model_platform: "tensorflow"
    model_version_policy { all {} }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
  config { name: "join" base_path: "/models/join" model_platform: "tensorflow" }
  config { name: "examples" base_path: "/models/examples" model_platform: "tensorflow" }
}
"""


class Scale(tf.Module):
    """Multiplies rows of three numbers."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def scale(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        checked = tf.debugging.check_numerics(x, "x must be finite")
        return {"y": self.factor * checked}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"rows": tf.reduce_sum(x, axis=1), "all": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def slow(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes a quarter of a second."""
        return {"y": x * _one_after(0.25)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def slower(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes longer than its caller waits."""
        return {"y": x * _one_after(6.0)}


@tf.function
def _one_after(seconds: float) -> tf.Tensor:
    """The number one, as late on a fast machine as on a slow one."""
    end = tf.timestamp() + seconds
    one = 1.0
    while tf.timestamp() < end:
        one *= 1.0
    return one


class Join(tf.Module):
    """Text, bytes, numbers and truth values in and out."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, name="text"),
            tf.TensorSpec((None,), tf.int32, name="times"),
            tf.TensorSpec((None,), tf.bool, name="loud"),
        ]
    )
    def join(self, text: tf.Tensor, times: tf.Tensor, loud: tf.Tensor) -> dict[str, tf.Tensor]:
        written = tf.strings.join([text, tf.strings.as_string(times)], separator="*")
        text = tf.where(loud, tf.strings.upper(written), written)
        return {"joined": text, "joined_bytes": text, "half": tf.cast(times, tf.float64) / 2}


class Examples(tf.Module):
    """Classification and regression of serialized `tf.Example`."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = self._parse(inputs)
        classes = tf.tile([["low", "high"]], [tf.size(x), 1])
        return {"classes": classes, "scores": tf.stack([1 - x, x], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": 10 * self._parse(inputs)}

    def _parse(self, inputs: tf.Tensor) -> tf.Tensor:
        features = {"x": tf.io.FixedLenFeature((), tf.float32)}
        return tf.io.parse_example(inputs, features)["x"]


def write_toy_models(folder: Path) -> Path:
    """Writes the models and their `models.config`; gives the folder."""
    for version in (1, 2):
        write_scale(folder, version)
    joined = Join()
    tf.saved_model.save(joined, str(folder / "join" / "1"), {"serving_default": joined.join})
    examples = Examples()
    signatures = {"serving_default": examples.classify, "regress": examples.regress}
    tf.saved_model.save(examples, str(folder / "examples" / "1"), signatures)
    (folder / "models.config").write_text(CONFIG)
    return folder


def write_scale(folder: Path, version: int) -> None:
    """Writes a version of `scale`, which multiplies by its own number, as `train` publishes."""
    model = Scale(float(version))
    staged = folder / "scale" / f".staging-{version}"
    signatures = {"serving_default": model.scale, "total": model.total}
    signatures |= {"slow": model.slow, "slower": model.slower}
    tf.saved_model.save(model, str(staged), signatures)
    write_warmup(staged, "scale", [("serving_default", {"x": np.ones((1, 3), np.float32)})])
    staged.rename(folder / "scale" / str(version))


if __name__ == "__main__":
    write_toy_models(Path(sys.argv[1]))
