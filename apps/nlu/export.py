"""The serving graph: text to intent and slots, with calibrated scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from apps.nlu.config import Config
from apps.nlu.dataset import prepare
from apps.nlu.model import decode_tags
from data.utterances import OUT_OF_SCOPE
from shared.export.verification import Expected, Tensor
from shared.export.warmup import Request
from shared.layers.ragged import to_dense
from shared.layers.tokenizer import Tokens, is_valid_utf8, slice_text, token_boundaries
from shared.metrics import (
    bio_spans,
    choose_rejection_threshold,
    classification_metrics,
    fit_temperature,
)
from shared.training.app import Trained
from shared.training.batching import Batches

TOP_K = 5
NO_WORDS = "empty: the text has no words"
NOT_UTF8 = "invalid: the text is not UTF-8"
TOO_LONG = "too_long: the text has more characters than the {} that the model reads"
NO_SLOTS = {
    "slot_names": tf.zeros((0,), tf.string),
    "slot_starts": tf.zeros((0,), tf.int32),
    "slot_ends": tf.zeros((0,), tf.int32),
}
SIGNATURES = {
    "serving_default": Expected(
        {"text": Tensor("string")},
        {
            "intent": Tensor("string"),
            "intent_score": Tensor("float32"),
            "intents": Tensor("string", "batch k"),
            "intent_scores": Tensor("float32", "batch k"),
            "probabilities": Tensor("float32", "batch classes"),
            "out_of_scope_score": Tensor("float32"),
            "slot_names": Tensor("string", "batch slots"),
            "slot_values": Tensor("string", "batch slots"),
            "slot_starts": Tensor("int32", "batch slots"),
            "slot_ends": Tensor("int32", "batch slots"),
            "slot_scores": Tensor("float32", "batch slots"),
            "num_slots": Tensor("int32"),
            "error": Tensor("string"),
        },
    ),
}


def build_signatures(
    trained: Trained[Config],
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The functions that a server offers.

    Returns:
        `serving_default`, from `text` string `(batch,)`. It gives `intent`, `out_of_scope` if
        `out_of_scope_score` reaches the threshold, and `intent_score` `(batch,)`; `intents` and
        `intent_scores` `(batch, k)`, the most probable ones; `probabilities` `(batch, classes)` in
        the order of `labels.txt`; the slots `(batch, slots)`, in order, with positions in code
        points; `num_slots` and `error` `(batch,)`. A row with an error has empty texts and zeros.
    """

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")], autograph=False)
    def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
        readable, errors = _check(text, trained.config.text.max_characters)
        inputs, tokens = trained.preprocess(readable)
        errors = tf.where((errors == "") & (tokens.words.row_lengths() == 0), NO_WORDS, errors)
        outputs = trained.model(inputs, training=False)
        probabilities = tf.nn.softmax(outputs["intent"] / trained.calibration["temperature"])
        return {
            **_intent_answer(trained, probabilities, errors == ""),
            **_slot_answer(trained, readable, outputs["slots"], inputs["words"] != 0, tokens),
            "error": errors,
        }

    return {"serving_default": serving_default}


def calibrate(
    trained: Trained[Config], validation: Batches
) -> tuple[dict[str, float], dict[str, float]]:
    """Fits temperature and threshold on validation sentences.

    Returns:
        `temperature`, which makes the scores honest, and `out_of_scope_threshold`, the score from
        which a sentence is out of scope; and the validation metrics of the intents.
    """
    pairs = [
        (trained.model.predict_on_batch(inputs)["intent"], targets["intent"])
        for inputs, targets in validation.epoch()
    ]
    logits = np.concatenate([logits for logits, _ in pairs])
    targets = np.concatenate([np.argmax(intents, axis=-1) for _, intents in pairs])
    temperature = fit_temperature(logits, targets)
    probabilities = tf.nn.softmax(logits / temperature).numpy()
    in_scope = _in_scope(trained.labels)
    threshold = choose_rejection_threshold(
        1 - probabilities[:, in_scope].max(axis=1),
        is_right=in_scope[probabilities[:, in_scope].argmax(axis=1)] == targets,
        is_out_of_scope=~np.isin(targets, in_scope),
        largest_cost=trained.config.out_of_scope.largest_cost,
    )
    values = {"temperature": temperature, "out_of_scope_threshold": threshold}
    return values, classification_metrics(probabilities, targets)


def reference(trained: Trained[Config], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The in-memory model's answers for texts, `(batch,)` bytes, by the path of training."""
    prepare_example = prepare(trained.config, trained.preprocess, trained.labels)
    readable, _ = _check(tf.constant(inputs, tf.string), trained.config.text.max_characters)
    texts = tf.data.Dataset.from_tensor_slices(readable).map(
        lambda text: prepare_example({"input": text, "label": 0, **NO_SLOTS})[0]
    )
    logits, tags = [], []
    for batch in texts.padded_batch(64):
        outputs = trained.model.predict_on_batch(batch)
        logits.append(outputs["intent"])
        tags += decode_tags(trained.model, batch, outputs)
    probabilities = tf.nn.softmax(
        np.concatenate(logits) / trained.calibration["temperature"]
    ).numpy()
    intents = np.array([label.encode() for label in trained.labels], dtype=object)
    in_scope = _in_scope(trained.labels)
    best = in_scope[probabilities[:, in_scope].argmax(axis=1)]
    rejected = _is_rejected(trained, 1 - probabilities[:, in_scope].max(axis=1))
    answers = np.where(rejected, OUT_OF_SCOPE.encode(), intents[best])
    has_words = np.array([len(row) > 0 for row in tags])
    return {
        "probabilities": np.where(has_words[:, None], probabilities, 0),
        "intent": np.where(has_words, answers, b""),
        **_reference_slots([text.decode() for text in readable.numpy()], tags),
    }


def build_warmup(texts: np.ndarray) -> list[Request]:
    """Warm-up requests from sentences: alone, and as a batch."""
    return [
        ("serving_default", {"text": texts[:1]}),
        ("serving_default", {"text": texts[:8]}),
    ]


def _check(texts: tf.Tensor, max_characters: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The texts, empty where they cannot be read, and why, string `(batch,)` each."""
    is_long = tf.strings.length(texts, unit="UTF8_CHAR") > max_characters
    errors = tf.where(is_long, TOO_LONG.format(max_characters), "")
    errors = tf.where(is_valid_utf8(texts), errors, NOT_UTF8)
    return tf.where(errors == "", texts, ""), errors


def _in_scope(labels: Sequence[str]) -> np.ndarray:
    return np.array([index for index, label in enumerate(labels) if label != OUT_OF_SCOPE])


def _is_rejected(trained: Trained[Config], scores: Any) -> Any:
    return scores >= trained.calibration["out_of_scope_threshold"]


def _intent_answer(
    trained: Trained[Config], probabilities: tf.Tensor, good: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Names and scores of the intents, zeros and empty where a row is not `good`."""
    probabilities = tf.where(good[:, None], probabilities, 0.0)
    in_scope = _in_scope(trained.labels)
    names = tf.constant([trained.labels[index] for index in in_scope])
    scores, order = tf.math.top_k(
        tf.gather(probabilities, in_scope, axis=1), k=min(TOP_K, len(in_scope))
    )
    intents = tf.where(good[:, None], tf.gather(names, order), "")
    out_of_scope = tf.where(good, 1 - scores[:, 0], 0.0)
    rejected = _is_rejected(trained, out_of_scope) & good
    return {
        "intent": tf.where(rejected, OUT_OF_SCOPE, intents[:, 0]),
        "intent_score": tf.where(rejected, out_of_scope, scores[:, 0]),
        "intents": intents,
        "intent_scores": scores,
        "probabilities": probabilities,
        "out_of_scope_score": out_of_scope,
    }


def _slot_answer(
    trained: Trained[Config],
    texts: tf.Tensor,
    emissions: tf.Tensor,
    mask: tf.Tensor,
    tokens: Tokens,
) -> dict[str, tf.Tensor]:
    """The slots of a batch, in order, padded with `""`, -1 and 0 to at least one column."""
    layer = trained.model.get_layer("slots")
    tags, _ = layer.decode(emissions, mask)
    begins = (tags > 0) & (tags % 2 == 1)
    continues = tf.pad((tags > 0) & ~begins, [[0, 0], [0, 1]])[:, 1:]
    ends = (tags > 0) & ~continues
    # Tags are "O" and a pair for each name; the name of "O" is empty.
    names = tf.gather(tf.constant(["", *trained.preprocess.slot_names]), (tags + 1) // 2)
    time = tf.shape(tags)[1]
    starts = _select(to_dense(tokens.starts, time), begins, -1)
    stops = _select(to_dense(tokens.ends, time), ends, -1)
    return {
        "slot_names": _select(names, begins, ""),
        "slot_values": slice_text(texts, starts, stops),
        "slot_starts": starts,
        "slot_ends": stops,
        "slot_scores": _select(layer.span_probabilities(emissions, mask, tags), begins, 0.0),
        "num_slots": tf.reduce_sum(tf.cast(begins, tf.int32), axis=1),
    }


def _select(values: tf.Tensor, chosen: tf.Tensor, padding: Any) -> tf.Tensor:
    """The chosen values of each row side by side, `(batch, at least 1)`."""
    return to_dense(tf.ragged.boolean_mask(values, chosen), 1, padding)


def _reference_slots(texts: Sequence[str], tags: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """The slots of tagged texts, as a reader would find them."""
    found = [
        [(name, bounds[first][0], bounds[last - 1][1]) for name, first, last in bio_spans(row)]
        for bounds, row in zip(token_boundaries(texts), tags, strict=True)
    ]
    width = max(1, *map(len, found))
    padded = [row + [("", -1, -1)] * (width - len(row)) for row in found]
    values = [
        [text[start:end] if name else "" for name, start, end in row]
        for text, row in zip(texts, padded, strict=True)
    ]
    return {
        "slot_names": _encode([[name for name, _, _ in row] for row in padded]),
        "slot_values": _encode(values),
        "slot_starts": np.array([[start for _, start, _ in row] for row in padded], np.int32),
        "slot_ends": np.array([[end for _, _, end in row] for row in padded], np.int32),
    }


def _encode(rows: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([[text.encode() for text in row] for row in rows], dtype=object)
