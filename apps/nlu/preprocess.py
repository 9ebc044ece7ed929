"""From text to the network's input, in graph: one code for training and for serving."""

from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from apps.nlu.config import Config
from shared.layers.ragged import to_dense
from shared.layers.tokenizer import Tokens, character_ids, normalize, tokenize
from shared.layers.vocabulary import Vocabulary
from shared.training.app import Survey

CHARACTER_BUCKETS = 256


@keras.saving.register_keras_serializable("quartet")
class TextPreprocess(keras.layers.Layer):
    """Cuts sentences into tokens and numbers their words and characters.

    Args:
        words: The known words, normalised.
        counts: How often each occurs in training.
        slot_names: The names of slots that training has.
        word_characters: int. Characters of a word that are looked at.

    Call arguments:
        texts: string `(batch,)`, UTF-8.

    Returns:
        The network's inputs, padded with 0: `words` int32 `(batch, tokens)`, 1 for unknown ones,
        and `characters` int32 `(batch, tokens, word_characters)`; and the tokens.
    """

    def __init__(
        self,
        words: Sequence[str],
        counts: Sequence[int],
        slot_names: Sequence[str],
        word_characters: int,
        **kwargs: str,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary = Vocabulary(words)
        self.counts = np.array([np.inf, 1, *counts], np.float32)
        self.slot_names = tuple(slot_names)
        self.word_characters = word_characters

    @property
    def tags(self) -> tuple[str, ...]:
        """BIO tags (Ramshaw and Marcus, 1995) of the slots, in index order."""
        return ("O", *(f"{prefix}-{name}" for name in self.slot_names for prefix in "BI"))

    def call(self, texts: tf.Tensor) -> tuple[dict[str, tf.Tensor], Tokens]:
        tokens = tokenize(texts)
        words = normalize(tokens.words)
        characters = words.with_flat_values(
            character_ids(words.flat_values, self.word_characters, CHARACTER_BUCKETS)
        )
        numbers = words.with_flat_values(self.vocabulary(words.flat_values))
        # One step at least, as a sentence without words must not stop the network.
        return {"characters": to_dense(characters, 1), "words": to_dense(numbers, 1)}, tokens

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "words": list(self.vocabulary.words),
            "counts": self.counts[2:].tolist(),
            "slot_names": list(self.slot_names),
            "word_characters": self.word_characters,
        }


def build_preprocess(config: Config, survey: Survey) -> TextPreprocess:
    """The preprocess layer, with the words of the training sentences.

    Args:
        config: Smallest count of a word, characters of a word.
        survey: Checked data; its facts name the slots.
    """
    counts: Counter[bytes] = Counter()
    for batch in survey.splits.train.read().batch(1024):
        counts.update(normalize(tokenize(batch["input"]).words).flat_values.numpy().tolist())
    known = sorted(word for word, count in counts.items() if count >= config.text.minimum_count)
    return TextPreprocess(
        words=[word.decode() for word in known],
        counts=[counts[word] for word in known],
        slot_names=survey.facts["slot_names"].tolist(),
        word_characters=config.text.word_characters,
    )
