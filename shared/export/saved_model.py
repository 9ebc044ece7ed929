"""SavedModels: written from a trained model, loaded for prediction."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from shared.export.repository import find_version
from shared.files import write_atomically

Signature = Callable[..., Mapping[str, tf.Tensor]]


@dataclass(frozen=True)
class ServedModel:
    """The serving graph, in memory or reloaded: what is evaluated, verified and asked.

    Args:
        signatures: Functions by name, from named tensors to named tensors.
        labels: Class names in index order.
        calibration: What was set after training, such as `temperature`.
    """

    signatures: Mapping[str, Signature]
    labels: tuple[str, ...]
    calibration: Mapping[str, float]

    def predict(self, signature: str = "serving_default", **inputs: Any) -> dict[str, np.ndarray]:
        """Answers one batch.

        Args:
            signature: Which function to ask.
            **inputs: Its inputs by name, each with the batch as first dimension.

        Returns:
            Arrays by output name; strings are bytes objects.
        """
        tensors = {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
        outputs = self.signatures[signature](**tensors)
        return {name: value.numpy() for name, value in outputs.items()}


class SessionModel:
    """A SavedModel in a session, the way TensorFlow Serving runs it.

    A server restores variables by the graph's restore op, TensorFlow's Python loader object by
    object: a model can be whole in one and without variables in the other.

    Args:
        folder: The SavedModel.
    """

    def __init__(self, folder: Path) -> None:
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        # A protocol buffer's map would answer unknown names with an empty signature.
        self.signatures = dict(loaded.signature_def)

    def predict(self, signature: str = "serving_default", **inputs: Any) -> dict[str, np.ndarray]:
        """Answers one batch, as `ServedModel.predict` does."""
        found = self.signatures[signature]
        tensors = dict(found.inputs)
        fed = {tensors[name].name: value for name, value in inputs.items()}
        return self.session.run({n: tensor.name for n, tensor in found.outputs.items()}, fed)


def write_saved_model(
    folder: Path, signatures: Mapping[str, Signature], layers: Sequence[Any]
) -> None:
    """Writes a SavedModel.

    The module owns the TensorFlow variables of the layers, not the layers: saved as they are,
    Keras 3.15 layers have each variable twice, of which a session restores the one that the graph
    does not read, and a compiled model brings its optimizer along.

    Args:
        folder: Where to write; must not exist or be empty.
        signatures: Functions by name, each with one input signature.
        layers: Layers and models whose variables the functions use.
    """
    module = tf.Module()
    module.owned = [variable.value for layer in layers for variable in layer.variables]
    # No server needs gradients, and own ones would have to be saved with all that they capture.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=dict(signatures), options=options)


def write_details(folder: Path, details: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Writes `config.json` and `labels.txt` into the model's `assets.extra`."""
    extra = folder / "assets.extra"
    write_atomically(extra / "config.json", json.dumps(details, indent=2) + "\n")
    write_atomically(extra / "labels.txt", "".join(f"{label}\n" for label in labels))


def load_saved_model(path: Path) -> ServedModel:
    """Loads an exported model.

    Args:
        path: A version's folder, or a folder of versions, of which the newest is taken.

    Raises:
        ModelError: There is no exported model; says what was looked for.
    """
    folder = find_version(path)
    model = tf.saved_model.load(str(folder))
    # The loaded object must live as long as its functions: it owns their variables.
    signatures = {name: _Owned(function, model) for name, function in model.signatures.items()}
    extra = folder / "assets.extra"
    labels = (extra / "labels.txt").read_text(encoding="utf-8").splitlines()
    details = json.loads((extra / "config.json").read_text(encoding="utf-8"))
    return ServedModel(signatures, tuple(labels), details["calibration"])


@dataclass(frozen=True)
class _Owned:
    function: Signature
    owner: Any

    def __call__(self, **inputs: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return self.function(**inputs)
