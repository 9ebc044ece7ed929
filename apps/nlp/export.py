"""The serving graph: text to labels, or to its perplexity and a continuation."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from apps.nlp.config import Config
from apps.nlp.dataset import prepare
from apps.nlp.model import log_likelihoods
from apps.nlp.preprocess import BOUNDARY_NUMBER, TextPreprocess
from shared.export.verification import Expected, Tensor
from shared.export.warmup import Request
from shared.layers.generation import Generator, Sampling, join_words
from shared.layers.tokenizer import is_valid_utf8
from shared.layers.vocabulary import UNKNOWN
from shared.metrics import classification_metrics, fit_mixture, label_set_metrics
from shared.training.app import Trained
from shared.training.batching import Batches

TOP_K = 5
CHOSEN = 0.5
"""Probability from which a label belongs to a text that may have several."""
NO_WORDS = "empty: the text has no words"
NOT_UTF8 = "invalid: the text is not UTF-8"
READ = {"num_tokens": Tensor("int32"), "num_unknown": Tensor("int32"), "truncated": Tensor("bool")}
CLASSIFIED = {
    "label": Tensor("string"),
    "score": Tensor("float32"),
    "labels": Tensor("string", "batch k"),
    "scores": Tensor("float32", "batch k"),
    "num_labels": Tensor("int32"),
    "probabilities": Tensor("float32", "batch classes"),
    **READ,
    "error": Tensor("string"),
}
SCORED = {
    "perplexity": Tensor("float32"),
    "log_likelihood": Tensor("float32"),
    **READ,
    "error": Tensor("string"),
}
TEXT = {"text": Tensor("string")}
PROMPT = {
    "prompt": Tensor("string"),
    "max_tokens": Tensor("int32"),
    "temperature": Tensor("float32"),
    "top_k": Tensor("int32"),
    "top_p": Tensor("float32"),
    "seed": Tensor("int32"),
}
CONTINUED = {
    "text": Tensor("string"),
    "score": Tensor("float32"),
    "num_tokens": Tensor("int32"),
    "error": Tensor("string"),
}
SIGNATURES = {
    "classification": {"serving_default": Expected(TEXT, CLASSIFIED)},
    "language_model": {
        "serving_default": Expected(TEXT, SCORED),
        "score": Expected(TEXT, SCORED),
        "generate": Expected(PROMPT, CONTINUED),
    },
}
_TEXT = [tf.TensorSpec((None,), tf.string, name="text")]


def build_signatures(
    trained: Trained[Config],
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The functions that a server offers.

    Returns:
        For a classifier, `serving_default` from `text` string `(batch,)`: `label`, `score`;
        `labels`, `scores` `(batch, k)`, the most probable first, of which `num_labels` belong to
        the text; `probabilities` `(batch, classes)` in the order of `labels.txt`.
        For a language model, `score`, also as `serving_default`, from `text`: `perplexity` and
        `log_likelihood`, in nats; and `generate`, from `prompt`, `max_tokens`, `temperature`,
        `top_k`, `top_p` and `seed` `(batch,)`: `text`, the prompt and its continuation, whose
        words have the mean probability `score`, and `num_tokens`, how many were added. Of a long
        prompt the end is read.
        All but `generate` give `num_tokens`, `num_unknown` of those that were read, whether the
        text was `truncated`, and `error`; a row with an error has empty texts and zeros.
    """
    if trained.config.task == "language_model":
        return _build_language_model(trained)

    @tf.function(input_signature=_TEXT, autograph=False)
    def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, read = _read(trained.preprocess, text)
        logits = trained.model(inputs, training=False)
        several = bool(trained.config.text.label_separator)
        return {**_classes(trained, _mix(trained, logits), read["error"] == "", several), **read}

    return {"serving_default": serving_default}


def calibrate(
    trained: Trained[Config], validation: Batches
) -> tuple[dict[str, float], dict[str, float]]:
    """Fits the weights of the classifier's outputs on validation texts.

    Returns:
        For a classifier the weight of each output by its name, which also make the scores honest;
        and the validation metrics with them, or those of the language model.
    """
    if trained.config.task == "language_model":
        return {}, measure_perplexity(trained.model, validation)
    names, logits, targets = _read_logits(trained, validation)
    several = bool(trained.config.text.label_separator)
    weights = fit_mixture(logits, targets, several)
    values = dict(zip(names, weights, strict=True))
    mixed = tf.constant(np.tensordot(weights, np.stack(logits), 1), tf.float32)
    if several:
        return values, label_set_metrics(tf.sigmoid(mixed).numpy(), targets, CHOSEN)
    return values, classification_metrics(tf.nn.softmax(mixed).numpy(), targets.argmax(axis=1))


def measure_perplexity(model: keras.Model, batches: Batches) -> dict[str, float]:
    """The `perplexity` of a language model over all words of some batches."""
    measure = _trace_log_likelihoods(model)
    values = [measure(inputs["words"]) for inputs, _ in batches.epoch()]
    sums, counts = (np.concatenate(parts).sum() for parts in zip(*values, strict=True))
    return {"perplexity": float(np.exp(-sums / counts))}


@lru_cache(maxsize=1)  # Every epoch measures the same model.
def _trace_log_likelihoods(model: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    return tf.function(lambda words: log_likelihoods(model, words), reduce_retracing=True)


def reference(trained: Trained[Config], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The in-memory model's answers for texts, `(batch,)` bytes, by the path of training."""
    prepare_example = prepare(trained.config, trained.preprocess, trained.labels)
    several = bool(trained.config.text.label_separator)
    texts = np.where(is_valid_utf8(inputs), inputs, b"")
    example = {"label": 0, "label_sets": tf.zeros(len(trained.labels))}
    batches = (
        tf.data.Dataset.from_tensor_slices(texts)
        .map(lambda text: prepare_example({"input": text, **example})[0])
        .padded_batch(64)
    )
    has_words = np.concatenate([np.sum(b["words"] != 0, axis=1) > 2 for b in batches])
    if trained.config.task == "language_model":
        values = [log_likelihoods(trained.model, batch["words"]) for batch in batches]
        sums, counts = (np.concatenate(parts) for parts in zip(*values, strict=True))
        return {"perplexity": np.where(has_words, np.exp(-sums / counts), 0).astype(np.float32)}
    logits = [trained.model.predict_on_batch(batch) for batch in batches]
    mixed = np.concatenate([_mix(trained, one) for one in logits])
    probabilities = (tf.sigmoid if several else tf.nn.softmax)(mixed).numpy()
    best = np.array(trained.labels, dtype=object)[probabilities.argmax(axis=1)]
    labels = np.array([label.encode() for label in best], dtype=object)
    return {
        "probabilities": np.where(has_words[:, None], probabilities, 0),
        "label": np.where(has_words, labels, b""),
    }


def build_warmup(texts: np.ndarray) -> list[Request]:
    """Warm-up requests from texts: alone, and as a batch."""
    return [
        ("serving_default", {"text": texts[:1]}),
        ("serving_default", {"text": texts[:8]}),
    ]


def _read(
    preprocess: TextPreprocess, texts: tf.Tensor
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """The network's inputs, and what a client should know of each text's reading."""
    errors = tf.where(is_valid_utf8(texts), "", NOT_UTF8)
    inputs, num_tokens = preprocess(tf.where(errors == "", texts, ""))
    errors = tf.where((errors == "") & (num_tokens == 0), NO_WORDS, errors)
    num_unknown = tf.reduce_sum(tf.cast(inputs["words"] == UNKNOWN, tf.int32), axis=1)
    truncated = num_tokens > preprocess.first + preprocess.last
    read = {"num_tokens": num_tokens, "num_unknown": num_unknown, "truncated": truncated}
    return inputs, {**read, "error": errors}


def _mix(trained: Trained[Config], logits: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return tf.add_n([trained.calibration[name] * values for name, values in logits.items()])


def _classes(
    trained: Trained[Config], logits: tf.Tensor, good: tf.Tensor, several: bool
) -> dict[str, tf.Tensor]:
    probabilities = tf.sigmoid(logits) if several else tf.nn.softmax(logits)
    probabilities = tf.where(good[:, None], probabilities, 0.0)
    classes = len(trained.labels)
    scores, indices = tf.math.top_k(probabilities, k=classes if several else min(TOP_K, classes))
    labels = tf.where(good[:, None], tf.gather(tf.constant(trained.labels), indices), "")
    chosen = scores >= CHOSEN if several else tf.range(tf.shape(scores)[1]) == 0
    return {
        "label": labels[:, 0],
        "score": scores[:, 0],
        "labels": labels,
        "scores": scores,
        "num_labels": tf.reduce_sum(tf.cast(chosen & good[:, None], tf.int32), axis=1),
        "probabilities": probabilities,
    }


def _build_language_model(
    trained: Trained[Config],
) -> dict[str, tf.types.experimental.GenericFunction]:
    vocabulary = tf.constant(["", "", *trained.preprocess.words])
    preprocess = trained.preprocess
    ends = {"first": 0, "last": preprocess.first + preprocess.last}
    read_prompt = TextPreprocess.from_config({**preprocess.get_config(), **ends})
    generator = Generator(
        trained.model.get_layer("word_vectors"),
        trained.model.get_layer("recurrent"),
        trained.model.get_layer("next"),
        end=BOUNDARY_NUMBER,
        forbidden=(0, UNKNOWN),
    )

    @tf.function(input_signature=_TEXT, autograph=False)
    def score(text: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, read = _read(trained.preprocess, text)
        sums, counts = log_likelihoods(trained.model, inputs["words"])
        good = read["error"] == ""
        perplexity = tf.exp(-sums / tf.cast(counts, tf.float32))
        return {
            "perplexity": tf.where(good, perplexity, 0.0),
            "log_likelihood": tf.where(good, sums, 0.0),
            **read,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tensor.dtype, name=name) for name, tensor in PROMPT.items()
        ],
        autograph=False,
    )
    def generate(
        prompt: tf.Tensor,
        max_tokens: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        errors = tf.where(is_valid_utf8(prompt), "", NOT_UTF8)
        prompt = tf.where(errors == "", prompt, "")
        inputs, _ = read_prompt(prompt)
        # Without the boundary behind the prompt, which is to go on.
        words = inputs["words"] * tf.cast(_is_followed(inputs["words"]), tf.int32)
        made = generator(words, Sampling(max_tokens, temperature, top_k, top_p, seed))
        text = _continue(prompt, tf.gather(vocabulary, made.words))
        count = tf.maximum(made.counts, 1)
        mean = tf.exp(made.log_probabilities / tf.cast(count, tf.float32))
        good = errors == ""
        return {
            "text": tf.where(good, text, ""),
            "score": tf.where(good & (made.counts > 0), mean, 0.0),
            "num_tokens": tf.where(good, made.counts, 0),
            "error": errors,
        }

    return {"serving_default": score, "score": score, "generate": generate}


def _continue(prompts: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Texts with words `(batch, words)` behind them, and a space between where one belongs."""
    # Whether there is one in front of the first word depends on that word.
    any_word = tf.fill([tf.shape(words)[0], 1], "x")
    added = tf.strings.regex_replace(join_words(tf.concat([any_word, words], axis=1)), "^x", "")
    has_space = tf.strings.regex_full_match(prompts, r"(?s)(.*\s)?")
    return tf.strings.join([prompts, tf.where(has_space, tf.strings.strip(added), added)])


def _is_followed(words: tf.Tensor) -> tf.Tensor:
    """Whether another word comes behind each, bool `(batch, tokens)`."""
    return tf.pad(words[:, 1:], [[0, 0], [0, 1]]) != 0


def _read_logits(
    trained: Trained[Config], batches: Batches
) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Names and logits of the classifier's outputs, and the targets, float32 `(…, classes)`."""
    names = sorted(trained.model.output_names)
    logits, targets = [], []
    for inputs, wanted in batches.epoch():
        outputs = trained.model.predict_on_batch(inputs)
        logits.append([outputs[name] for name in names])
        targets.append(wanted["recurrent_logits"])
    return names, [np.concatenate(p) for p in zip(*logits, strict=True)], np.concatenate(targets)
