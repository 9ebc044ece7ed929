"""Given labels laid out on the frames of connectionist temporal classification."""

import math

import tensorflow as tf

from shared.layers.ctc_decoding import Decoded, likeliest_path, read_path, shift_right
from shared.layers.ctc_frames import count_frames, required_frames

# States before the first, so that every real one has two before it.
_NEVER_REACHED = 2


def align(logits: tf.Tensor, labels: tf.Tensor) -> Decoded:
    """Finds the likeliest path that reads as the labels ("forced alignment").

    The states of a path are a blank, the first label, a blank, the second label and so on to a
    last blank, as in Graves et al., "Connectionist temporal classification", 2006, section 4.1; the
    best way through them is found as by Viterbi, "Error bounds for convolutional codes", 1967.

    Args:
        logits: float32 `(batch, frames, classes + 1)`, as `mask_logits` gives them.
        labels: int32 `(batch, length)`, padded with -1 behind the end.

    Returns:
        The labels on their frames. A row with fewer frames than `required_frames(labels)` has no
        path: it comes without labels, and its log-probability is minus infinity.
    """
    blank = tf.shape(logits)[2] - 1
    is_possible = required_frames(labels) <= count_frames(logits)
    labels = tf.where((labels >= 0) & is_possible[:, None], labels, blank)
    path, begins = likeliest_path(logits)
    path, begins = tf.cond(
        _reads_as(path, begins, labels, blank),
        lambda: (path, begins),
        lambda: _best_path(logits, labels, blank),
    )
    decoded = read_path(logits, path, begins)
    log_probability = tf.where(is_possible, decoded.log_probability, -math.inf)
    return decoded._replace(log_probability=log_probability)


def _reads_as(path: tf.Tensor, begins: tf.Tensor, labels: tf.Tensor, blank: tf.Tensor) -> tf.Tensor:
    """Whether all paths read as their labels: most do, and need no search."""
    counted = tf.cumsum(tf.cast(begins, tf.int32), axis=1)
    lengths = tf.math.count_nonzero(labels != blank, axis=1)
    padded = tf.pad(labels, [[0, 0], [1, 1]], constant_values=blank)
    expected = tf.gather(padded, tf.minimum(counted, tf.shape(labels)[1] + 1), batch_dims=1)
    is_as_long = tf.math.count_nonzero(begins, axis=1) == lengths
    return tf.reduce_all(is_as_long) & tf.reduce_all(~begins | (path == expected))


def _best_path(
    logits: tf.Tensor, labels: tf.Tensor, blank: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest path of the labels and where its labels begin, both `(batch, frames)`."""
    symbols = _interleave(labels, blank)
    states = _best_states(tf.nn.log_softmax(logits), symbols, blank)
    begins = (states % 2 == 1) & (states != shift_right(states, 0))
    return tf.gather(symbols, states, batch_dims=1), begins


def _interleave(labels: tf.Tensor, blank: tf.Tensor) -> tf.Tensor:
    """The class of each state, `(batch, states)`: the labels with blanks around them."""
    pairs = tf.stack([tf.fill(tf.shape(labels), blank), labels], axis=2)
    pairs = tf.reshape(pairs, [tf.shape(labels)[0], 2 * tf.shape(labels)[1]])
    return tf.pad(pairs, [[0, 0], [0, 1]], constant_values=blank)


def _best_states(scores: tf.Tensor, symbols: tf.Tensor, blank: tf.Tensor) -> tf.Tensor:
    """The states of the best path through all labels, `(batch, frames)`."""
    totals, moves = _forward(scores, symbols, blank)
    last = 2 * tf.reduce_sum(tf.cast(symbols != blank, tf.int32), axis=1) + _NEVER_REACHED
    before = tf.maximum(last - 1, _NEVER_REACHED)
    at_last, at_before = (tf.gather(totals, state, batch_dims=1) for state in (last, before))
    end = tf.where(at_before > at_last, before, last)
    return _follow_back(moves, end, tf.shape(scores)[1]) - _NEVER_REACHED


def _forward(
    scores: tf.Tensor, symbols: tf.Tensor, blank: tf.Tensor
) -> tuple[tf.Tensor, tf.TensorArray]:
    """The score of the best way to each state, `(batch, states)`, and its moves at each frame.

    Two states that are never reached stand before the first, so that all have two before them.
    """
    batch, steps = tf.unstack(tf.shape(scores)[:2])
    scores = tf.transpose(scores, (1, 0, 2))
    padded = tf.pad(symbols, [[0, 0], [_NEVER_REACHED, 0]], constant_values=blank)
    # A blank cannot be passed over, nor the blank between equal labels.
    skip = tf.where((symbols != blank) & (symbols != padded[:, :-2]), 0.0, -math.inf)
    zeros = tf.zeros_like(skip)
    front = [[0, 0], [0, 0], [_NEVER_REACHED, 0]]
    costs = tf.pad(tf.stack([zeros, zeros, skip], axis=1), front, constant_values=-math.inf)
    states = tf.range(tf.shape(costs)[2])
    origins = tf.maximum(states - [[0], [1], [2]], 0)
    totals = tf.where(states == _NEVER_REACHED, tf.zeros([batch, 1]), -math.inf)

    def advance(
        time: tf.Tensor, totals: tf.Tensor, moves: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        ways = tf.gather(totals, origins, axis=1) + costs
        move = tf.cast(tf.argmax(ways, axis=1, output_type=tf.int32), tf.int8)
        # Of all frames at once, they would be as many as frames times states.
        emissions = tf.gather(tf.gather(scores, time), padded, batch_dims=1)
        return time + 1, tf.reduce_max(ways, axis=1) + emissions, moves.write(time, move)

    first = (0, totals, tf.TensorArray(tf.int8, steps))
    _, totals, moves = tf.while_loop(lambda time, *_: time < steps, advance, first)
    return totals, moves


def _follow_back(moves: tf.TensorArray, last: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """The states, `(batch, frames)`, of the path that ends in `last`."""

    def go_back(
        time: tf.Tensor, state: tf.Tensor, states: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        move = tf.gather(moves.read(time - 1), state, batch_dims=1)
        return time - 1, state - tf.cast(move, tf.int32), states.write(time, state)

    # One more than there are frames, as an array of nothing cannot be stacked.
    states = tf.TensorArray(tf.int32, steps + 1).write(0, tf.zeros_like(last))
    *_, states = tf.while_loop(lambda time, *_: time > 0, go_back, (steps, last, states))
    return tf.transpose(states.stack())[:, 1:]
