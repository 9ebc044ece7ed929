"""Where texts come from, and how training texts are varied."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import data
from apps.nlp.config import Config
from apps.nlp.preprocess import TextPreprocess
from data.texts import LABEL_SETS, TextFields
from shared.layers.vocabulary import UNKNOWN
from shared.training.app import Split

MEASURED_TEXTS = 2000
"""A language model is validated and tested on so many texts at most: each word costs a softmax over
the whole vocabulary."""
SAMPLE_CHARACTERS = 200


def load(config: Config) -> data.Survey:
    """Reads and checks the data that `config.data` names.

    Returns:
        Splits of texts with labels, or for a language model without, and every problem found.

    Raises:
        data.DataError: The data cannot be found or split; lists everything that is wrong.
    """
    splits = data.load(
        config.data,
        kind=_kind(config),
        fields=_fields(config),
        validation_fraction=config.split.validation_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
    )
    if 0 < config.split.train_texts < splits.train.size:
        order = np.random.default_rng(config.seed).permutation(splits.train.size)
        splits = replace(splits, train=splits.train.take(order[: config.split.train_texts]))
    if config.task == "language_model":
        splits = replace(splits, validation=_some(splits.validation), test=_some(splits.test))
    return data.survey_texts(splits, several=bool(config.text.label_separator))


def load_split(
    config: Config, split: str
) -> tuple[tuple[str, ...], data.Split, Sequence[data.Problem]]:
    """Reads examples to evaluate a model on.

    Args:
        config: The configuration that the model was trained with, and the data to read.
        split: `train`, `validation` or `test`, as training would cut them, or `all`.

    Returns:
        The data's labels, the usable examples and the problems found.
    """
    if split == "all":
        labels, examples = data.load_all(config.data, kind=_kind(config), fields=_fields(config))
        return labels, *data.check_texts(examples, labels)
    survey = load(config)
    return survey.splits.labels, getattr(survey.splits, split), survey.problems


def prepare(
    config: Config, preprocess: TextPreprocess, labels: tuple[str, ...]
) -> Callable[[dict[str, tf.Tensor]], tuple[Any, Any]]:
    """A map from a raw example to the network's inputs and targets.

    Returns:
        A function of a text, its label or labels that gives the inputs `words` int32 `(tokens,)`
        and, with n-grams, `ngrams` int32 `(n-grams,)`. The targets of a classifier are the same for
        each output, float32 `(classes,)`; those of a language model `next` and `previous`, int32
        `(tokens,)`, -1 where there is no word.
    """
    heads = ("recurrent_logits", "ngram_logits")[: 2 if preprocess.ngrams else 1]

    def prepare_example(example: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        features, _ = preprocess(example["input"][None])
        inputs = {name: values[0] for name, values in features.items()}
        if config.task == "language_model":
            return inputs, neighbours(inputs["words"])
        if config.text.label_separator:
            return inputs, dict.fromkeys(heads, example[LABEL_SETS])
        return inputs, dict.fromkeys(heads, tf.one_hot(example["label"], len(labels)))

    return prepare_example


def neighbours(words: tf.Tensor) -> dict[str, tf.Tensor]:
    """The word behind and before each of a text's words, int32 `(…, tokens)`; -1 for none."""
    nothing = tf.fill(tf.shape(words[..., :1]), -1)
    return {
        "next": tf.concat([words[..., 1:], nothing], axis=-1),
        "previous": tf.concat([nothing, words[..., :-1]], axis=-1),
    }


@keras.saving.register_keras_serializable("quartet.nlp")
class WordDropout(keras.layers.Layer):
    """Hides words in training, so that the network relies on no single one.

    Iyyer et al., "Deep unordered composition rivals syntactic methods", 2015,
    https://aclanthology.org/P15-1162.

    Args:
        share: float. Share of the words that become unknown.

    Call arguments:
        inputs: `words` int32 `(batch, tokens)`, and others that stay as they are.
        targets: Any.
        training: bool. Without it nothing is changed.
    """

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, targets: Any, training: bool = False) -> tuple[Any, Any]:
        words = inputs["words"]
        if training:
            drawn = keras.random.uniform(tf.shape(words), seed=self.seed_generator)
            words = tf.where((drawn < self.share) & (words > 0), UNKNOWN, words)
        return {**inputs, "words": words}, targets


def build_augmentation(
    config: Config, preprocess: TextPreprocess, labels: tuple[str, ...]
) -> WordDropout | None:
    """The random changes of training texts, or None if they are off."""
    share = config.augmentation.word_dropout
    return WordDropout(share) if share and config.task == "classification" else None


def write_samples(split: Split, labels: tuple[str, ...], folder: Path) -> list[str]:
    """Gives short texts of different classes, as words for `predict`."""
    found: dict[int, str] = {}
    for example in split.read(None).take(1000).as_numpy_iterator():
        text = example["input"].decode("utf-8", "replace")
        if len(text) <= SAMPLE_CHARACTERS and not text.startswith("-"):
            found.setdefault(int(example["label"]), text)
    return list(found.values())[:4]


def _kind(config: Config) -> str:
    return "texts" if config.task == "classification" else "unlabelled_texts"


def _fields(config: Config) -> TextFields:
    text = config.text
    return TextFields(text.text_field, text.label_field, text.label_separator)


def _some(split: data.Split) -> data.Split:
    """At most `MEASURED_TEXTS` texts, at equal distances."""
    size = min(split.size, MEASURED_TEXTS)
    return split.take(np.linspace(0, split.size - 1, size).astype(np.int64))
