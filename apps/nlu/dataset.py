"""Where sentences come from, and how training sentences are varied."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import data
from apps.nlu.config import Config
from apps.nlu.preprocess import TextPreprocess
from shared.layers.tokenizer import token_boundaries
from shared.layers.vocabulary import UNKNOWN
from shared.training.app import Split
from shared.training.sequence_batching import Row


def load(config: Config) -> data.Survey:
    """Reads and checks the data that `config.data` names.

    Returns:
        Splits of sentences with intents and slots, and every problem found.

    Raises:
        data.DataError: The data cannot be found or split; lists everything that is wrong.
    """
    splits = data.load(
        config.data,
        kind="utterances",
        validation_fraction=config.split.validation_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
    )
    return data.survey_utterances(splits, token_boundaries)


def load_split(
    config: Config, split: str
) -> tuple[tuple[str, ...], data.Split, Sequence[data.Problem]]:
    """Reads examples to evaluate a model on.

    Args:
        config: The configuration that the model was trained with, and the data to read.
        split: `train`, `validation` or `test`, as training would cut them, or `all`.

    Returns:
        The data's intents, the usable examples and the problems found.
    """
    if split == "all":
        labels, examples = data.load_all(config.data, kind="utterances")
        return labels, *data.check_utterances(examples, labels, token_boundaries)
    survey = load(config)
    return survey.splits.labels, getattr(survey.splits, split), survey.problems


def prepare(
    config: Config, preprocess: TextPreprocess, labels: tuple[str, ...]
) -> Callable[[dict[str, tf.Tensor]], tuple[Any, Any]]:
    """A map from a raw example to the network's inputs and targets.

    Returns:
        A function of a text, its label and its slots that gives the inputs `words` int32
        `(tokens,)` and `characters` int32 `(tokens, word_characters)`, and the targets `intent`
        float32 `(intents,)` and `slots`, tag indices int32 `(tokens,)`.
    """

    def prepare_example(example: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        features, tokens = preprocess(example["input"][None])
        inputs = {name: values[0] for name, values in features.items()}
        tags = _tags(tokens.starts[0], tokens.ends[0], example, preprocess.slot_names)
        return inputs, {"intent": tf.one_hot(example["label"], len(labels)), "slots": tags}

    return prepare_example


def _tags(
    starts: tf.Tensor, ends: tf.Tensor, example: dict[str, tf.Tensor], names: Sequence[str]
) -> tf.Tensor:
    """BIO tag indices of tokens, in the order of `TextPreprocess.tags`."""
    slot_starts, slot_ends = example["slot_starts"][:, None], example["slot_ends"][:, None]
    inside = tf.cast((starts >= slot_starts) & (ends <= slot_ends), tf.int32)
    begins = inside - inside * tf.pad(inside, [[0, 0], [1, 0]])[:, :-1]
    number = tf.range(1, len(names) + 1)
    is_name = example["slot_names"][:, None] == tf.constant(names, tf.string, (len(names),))
    slot = tf.reduce_sum(tf.where(is_name, number, 0), axis=1)[:, None]
    # "B-" of the first name is 1, "I-" is 2; a name that training lacks has no tags.
    tags = tf.where(slot > 0, inside * 2 * slot - begins, 0)
    return tf.reduce_sum(tags, axis=0)


@keras.saving.register_keras_serializable("quartet")
class WordDropout(keras.layers.Layer):
    """Hides words in training, rare ones more often, as they are the likelier to be unknown later.

    Kiperwasser and Goldberg, https://arxiv.org/abs/1603.04351, section 6.

    Args:
        counts: How often each word occurs in training, by its number.
        share: float. A word that occurs n times is hidden with the chance share / (share + n).

    Call arguments:
        inputs: `words` int32 `(batch, tokens)`, and others that stay as they are.
        targets: Any.
        training: bool. Without it nothing is changed.
    """

    def __init__(self, counts: Sequence[float], share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chances = share / (share + tf.constant(counts, tf.float32))
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, targets: Any, training: bool = False) -> tuple[Any, Any]:
        words = inputs["words"]
        if training:
            drawn = keras.random.uniform(tf.shape(words), seed=self.seed_generator)
            words = tf.where(drawn < tf.gather(self.chances, words), UNKNOWN, words)
        return {**inputs, "words": words}, targets


@dataclass(frozen=True)
class SlotSwap:
    """Puts other words of the training set into slots: those of another slot of the same name.

    Args:
        share: Chance of each slot to be changed.
    """

    share: float

    def __call__(self, rows: Sequence[Row], generator: np.random.Generator) -> list[Row]:
        """Rows are `[characters, words, intent, slots]`, as `prepare` makes them."""
        spans = [_find_spans(tags) for *_, tags in rows]
        values: dict[int, list[tuple[int, int, int]]] = {}
        for index, row_spans in enumerate(spans):
            for tag, start, end in row_spans:
                values.setdefault(tag, []).append((index, start, end))
        return [
            self._swap(rows, index, row_spans, values, generator) if row_spans else rows[index]
            for index, row_spans in enumerate(spans)
        ]

    def _swap(
        self,
        rows: Sequence[Row],
        index: int,
        spans: Sequence[tuple[int, int, int]],
        values: Mapping[int, Sequence[tuple[int, int, int]]],
        generator: np.random.Generator,
    ) -> Row:
        pieces, position = [], 0
        for tag, start, end in spans:
            if generator.random() < self.share:
                choice = values[tag][int(generator.integers(len(values[tag])))]
                pieces += [(index, position, start), choice]
                position = end
        pieces.append((index, position, len(rows[index][1])))
        characters, words, tags = (
            np.concatenate([rows[row][column][first:last] for row, first, last in pieces])
            for column in (0, 1, 3)
        )
        return [characters, words, rows[index][2], tags]


def _find_spans(tags: np.ndarray) -> list[tuple[int, int, int]]:
    """First tag, start and end of each slot among tag indices."""
    spans = []
    for start in np.flatnonzero(tags % 2 == 1):
        inside = tags[start + 1 :] == tags[start] + 1
        length = len(inside) if inside.all() else int(np.argmin(inside))
        spans.append((int(tags[start]), int(start), int(start) + 1 + length))
    return spans


def build_augmentation(
    config: Config, preprocess: TextPreprocess, labels: tuple[str, ...]
) -> WordDropout | None:
    """The random changes of training sentences, or None if they are off."""
    share = config.augmentation.word_dropout
    return WordDropout(preprocess.counts.tolist(), share) if share else None


def build_variation(config: Config) -> SlotSwap | None:
    """The change of whole training sentences, or None if it is off."""
    share = config.augmentation.swapped_slots
    return SlotSwap(share) if share else None


def write_samples(split: Split, labels: tuple[str, ...], folder: Path) -> list[str]:
    """Gives sentences of different intents, as words for `predict`."""
    found: dict[int, str] = {}
    for example in split.read(None).take(1000).as_numpy_iterator():
        found.setdefault(int(example["label"]), example["input"].decode("utf-8", "replace"))
    return list(found.values())[:4]
