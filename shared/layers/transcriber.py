"""From the logits of connectionist temporal classification to transcripts, words and times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from shared.layers.character_language_model import CharacterLanguageModel
from shared.layers.ctc_alignment import align
from shared.layers.ctc_beam_search import beam_decode
from shared.layers.ctc_decoding import Decoded, greedy_decode
from shared.layers.ctc_frames import count_frames
from shared.layers.ctc_words import join_words


class Transcription(NamedTuple):
    """What was said in recordings.

    Attributes:
        transcripts: string `(batch,)`.
        confidences: float32 `(batch,)`. The geometric mean of the characters' probabilities; of a
            recording without any, that of silence in its steps.
        words: string `(batch, words)`, padded with "".
        starts: float32 `(batch, words)`, seconds, padded with -1.
        ends: float32 `(batch, words)`, seconds, padded with -1.
        scores: float32 `(batch, words)`. The geometric mean of the word's characters'
            probabilities, padded with 0.
        counts: int32 `(batch,)`. The number of words.
    """

    transcripts: tf.Tensor
    confidences: tf.Tensor
    words: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    scores: tf.Tensor
    counts: tf.Tensor


@dataclass(frozen=True)
class Transcriber:
    """Reads transcripts off logits.

    Args:
        alphabet: The characters, in the order of their classes, the blank being behind them.
        seconds_per_step: float. Time between two steps of the logits.
        beam_width: int. Transcripts that are followed side by side; 0 takes the likeliest character
            of each step.
        language_model: Guides the beam, if given.
        language_weight: float. Weight of its log-probability.
        length_bonus: float. Added to the log-probability for each character.
    """

    alphabet: Sequence[str]
    seconds_per_step: float
    beam_width: int = 0
    language_model: CharacterLanguageModel | None = None
    language_weight: float = 0.0
    length_bonus: float = 0.0

    def decode(self, logits: tf.Tensor) -> Decoded:
        """Finds the characters and the steps on which they are heard.

        Args:
            logits: float32 `(batch, steps, characters + 1)`; steps behind a row's end answer blank
                with certainty.
        """
        if not self.beam_width:
            return greedy_decode(logits)
        labels, _ = beam_decode(
            logits,
            self.beam_width,
            self.language_model,
            self.language_weight,
            self.length_bonus,
        )
        return align(logits, labels)

    def __call__(self, logits: tf.Tensor) -> Transcription:
        """Finds transcripts, words, their times and scores in `logits`, as for `decode`."""
        decoded = self.decode(logits)
        words = join_words(decoded, self.alphabet)
        exists = words.starts >= 0
        return Transcription(
            words.transcripts,
            _confidences(decoded, count_frames(logits)),
            words.words,
            self._seconds(words.starts, exists),
            self._seconds(words.ends, exists),
            words.scores,
            tf.reduce_sum(tf.cast(exists, tf.int32), axis=1),
        )

    def _seconds(self, steps: tf.Tensor, exists: tf.Tensor) -> tf.Tensor:
        return tf.where(exists, tf.cast(steps, tf.float32) * self.seconds_per_step, -1.0)


def spell(labels: np.ndarray, alphabet: Sequence[str]) -> list[str]:
    """Transcripts of labels, int `(batch, length)`, padded with -1."""
    return ["".join(alphabet[label] for label in row if label >= 0) for row in labels]


def _confidences(decoded: Decoded, frames: tf.Tensor) -> tf.Tensor:
    exists = decoded.labels >= 0
    count = tf.reduce_sum(tf.cast(exists, tf.float32), axis=1)
    logarithms = tf.math.log(tf.where(exists, tf.maximum(decoded.scores, 1e-30), 1.0))
    silence = decoded.log_probability / tf.maximum(tf.cast(frames, tf.float32), 1.0)
    spoken = tf.reduce_sum(logarithms, axis=1) / tf.maximum(count, 1.0)
    return tf.exp(tf.where(count > 0, spoken, silence))
