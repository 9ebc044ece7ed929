"""A language model of characters as a finite automaton in tables."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class CharacterLanguageModel(NamedTuple):
    """What may follow what: a state stands for the last few characters of a text.

    The tables are arrays, which become part of a graph, or variables, which are kept beside it.

    Attributes:
        transitions: int32 `(states, characters)`, the state behind a state and a character.
        log_probabilities: float32 `(states, characters + 1)`, of each next character, in nats; the
            last column is that of the end of the text.
        start: int. The state in which a text begins.
    """

    transitions: np.ndarray | tf.Variable
    log_probabilities: np.ndarray | tf.Variable
    start: int
