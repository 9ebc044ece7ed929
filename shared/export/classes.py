"""What a classifier's signatures answer, and the temperature of its scores."""

from typing import Any

import numpy as np
import tensorflow as tf

from shared.export.verification import Tensor
from shared.metrics import classification_metrics, fit_temperature
from shared.training.app import Labels, Trained
from shared.training.batching import Batches

TOP_K = 5
CLASSES = {
    "label": Tensor("string"),
    "score": Tensor("float32"),
    "labels": Tensor("string", "batch k"),
    "scores": Tensor("float32", "batch k"),
    "probabilities": Tensor("float32", "batch classes"),
}
"""The outputs of `answer_classes`."""


def answer_classes(
    logits: tf.Tensor, labels: Labels, temperature: float, good: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Names the most probable classes.

    Args:
        logits: float32 `(batch, classes)`.
        labels: Names of the classes in index order.
        temperature: float. Logits are divided by it (Guo et al., 2017,
            https://arxiv.org/abs/1706.04599).
        good: bool `(batch,)`. Other rows have empty labels and zeros.

    Returns:
        `label`, `score` `(batch,)`; `labels`, `scores` `(batch, k)`, the most probable first;
        `probabilities` `(batch, classes)`.
    """
    probabilities = tf.where(good[:, None], tf.nn.softmax(logits / temperature), 0.0)
    scores, indices = tf.math.top_k(probabilities, k=min(TOP_K, len(labels)))
    names = tf.where(good[:, None], tf.gather(tf.constant(labels), indices), "")
    return {
        "label": names[:, 0],
        "score": scores[:, 0],
        "labels": names,
        "scores": scores,
        "probabilities": probabilities,
    }


def calibrate_classes(
    trained: Trained[Any], validation: Batches
) -> tuple[dict[str, float], dict[str, float]]:
    """Fits the temperature of the scores on validation examples, whose targets are one-hot.

    Returns:
        `temperature`, and the validation metrics of the scores that it gives.
    """
    pairs = [
        (trained.model.predict_on_batch(inputs), targets) for inputs, targets in validation.epoch()
    ]
    logits = np.concatenate([logits for logits, _ in pairs])
    labels = np.concatenate([np.argmax(targets, axis=-1) for _, targets in pairs])
    temperature = fit_temperature(logits, labels)
    probabilities = tf.nn.softmax(logits / temperature).numpy()
    return {"temperature": temperature}, classification_metrics(probabilities, labels)
