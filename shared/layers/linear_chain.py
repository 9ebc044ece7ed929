"""Sums and maxima over all paths through a linear chain of tags.

Notation and algorithms: Sutton and McCallum, "An introduction to conditional random fields", 2012,
chapters 2 and 4, https://arxiv.org/abs/1011.4088.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_Combine = Callable[[tf.Tensor], tf.Tensor]


class LinearChain(NamedTuple):
    """What a path scores, in nats; of one float dtype.

    Args:
        emissions: `(batch, time, tags)`, score of each tag at each step; finite, also where masked.
        transitions: `(tags + 1, tags)`, score of a tag (column) after another (row); the last row
            is that of the first tag. -inf forbids; at each step some tag must remain.
        end: `(tags,)`, score of the last tag.
        mask: bool `(batch, time)`, true at the steps of the sentence, which come first.
    """

    emissions: tf.Tensor
    transitions: tf.Tensor
    end: tf.Tensor
    mask: tf.Tensor


def sums_before(chain: LinearChain) -> tf.Tensor:
    """Log of the summed weights of all paths that lead to a tag, without its own emission.

    Args:
        chain: The scores.

    Returns:
        `(batch, time, tags)`.
    """
    start, transitions = chain.transitions[-1], chain.transitions[:-1]
    return _messages(chain.emissions, start, _log_sum(transitions))


def sums_after(chain: LinearChain) -> tf.Tensor:
    """Log of the summed weights of all ways to go on from a tag to the end, without its emission.

    Args:
        chain: The scores.

    Returns:
        `(batch, time, tags)`, without meaning where masked.
    """
    return _backward(chain, _log_sum)


def log_partition(chain: LinearChain) -> tf.Tensor:
    """Log of the summed weights of all paths: of the exponentials of their scores.

    Args:
        chain: The scores; gradients flow to all of them.

    Returns:
        `(batch,)`; 0 for a row without steps.
    """

    # Its gradients are expected counts, and forward-backward gives them all at once: several times
    # faster than differentiating a loop over time.
    @tf.custom_gradient
    def compute(
        emissions: tf.Tensor, transitions: tf.Tensor, end: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        fixed = LinearChain(emissions, transitions, end, chain.mask)
        before, after = sums_before(fixed), sums_after(fixed)
        first = tf.reduce_logsumexp((before + emissions + after)[:, :1], axis=-1)
        total = tf.reduce_sum(tf.where(chain.mask[:, :1], first, 0), axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            tags = marginals(fixed, before, after) * upstream[:, None, None]
            starts = tf.reduce_sum(tags[:, :1], axis=(0, 1))
            ends = tf.where(_is_last(chain.mask)[..., None], tags, 0)
            pairs = _expected_pairs(fixed, before, after, total, upstream)
            transitions = tf.concat([pairs, starts[None]], axis=0)
            return tags, transitions, tf.reduce_sum(ends, axis=(0, 1))

        return total, gradient

    return compute(chain.emissions, chain.transitions, chain.end)


def marginals(chain: LinearChain, before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Probability of each tag at each step.

    Args:
        chain: The scores.
        before: `sums_before(chain)`.
        after: `sums_after(chain)`.

    Returns:
        `(batch, time, tags)`, 0 where masked.
    """
    probabilities = tf.nn.softmax(before + chain.emissions + after)
    return tf.where(chain.mask[..., None], probabilities, 0)


def marginals_given_previous(
    chain: LinearChain, after: tf.Tensor, previous: tf.Tensor
) -> tf.Tensor:
    """Probability of each tag at each step, if the tag before it is known.

    Args:
        chain: The scores.
        after: `sums_after(chain)`.
        previous: int32 `(batch, time)`, the tag of the step before; `tags` stands for the start.

    Returns:
        `(batch, time, tags)`, without meaning where masked.
    """
    return tf.nn.softmax(tf.gather(chain.transitions, previous) + chain.emissions + after)


def best_path(chain: LinearChain) -> tf.Tensor:
    """The path with the highest score (Viterbi, "Error bounds for convolutional codes", 1967).

    Args:
        chain: The scores.

    Returns:
        int32 `(batch, time)`, without meaning where masked. Of equal tags, the first.
    """
    # Searched from the end, so that it can be read off from the beginning, where all rows begin.
    scores = chain.emissions + _backward(chain, _maximum)
    start = tf.shape(chain.end)[0]

    def step(tag: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
        return tf.argmax(tf.gather(chain.transitions, tag) + score, axis=-1, output_type=tf.int32)

    tags = _states(step, tf.fill(tf.shape(scores)[:1], start), scores)
    return tf.transpose(tags)[:, 1:]


def path_score(chain: LinearChain, path: tf.Tensor) -> tf.Tensor:
    """Sum of a path's scores.

    Args:
        chain: The scores; gradients flow to all of them.
        path: int32 `(batch, time)`, some tag also where masked.

    Returns:
        `(batch,)`; 0 for a row without steps.
    """
    steps = tf.stack([previous_tags(path, tf.shape(chain.end)[0]), path], axis=-1)
    scores = tf.gather(chain.emissions, path, batch_dims=2) + tf.gather_nd(chain.transitions, steps)
    ends = tf.where(_is_last(chain.mask), tf.gather(chain.end, path), 0)
    return tf.reduce_sum(tf.where(chain.mask, scores, 0) + ends, axis=1)


def previous_tags(path: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    """Shifts a path by one step, `start` first; int32 `(batch, time)`."""
    starts = tf.fill([tf.shape(path)[0], 1], start)
    return tf.concat([starts, path], axis=1)[:, :-1]


def _is_last(mask: tf.Tensor) -> tf.Tensor:
    return mask & ~tf.concat([mask, tf.zeros_like(mask[:, :1])], axis=1)[:, 1:]


def _expected_pairs(
    chain: LinearChain,
    before: tf.Tensor,
    after: tf.Tensor,
    total: tf.Tensor,
    weights: tf.Tensor,
) -> tf.Tensor:
    """Expected number of each pair of neighbours, summed over rows with `weights` (batch,)."""
    left, right = (before + chain.emissions)[:, :-1], (chain.emissions + after)[:, 1:]
    highest_left = tf.reduce_max(left, axis=-1, keepdims=True)
    highest_right = tf.reduce_max(right, axis=-1, keepdims=True)
    scale = tf.exp(total[:, None, None] - highest_left - highest_right)
    left, right = tf.exp(left - highest_left), tf.exp(right - highest_right)
    # A scale that underflows belongs to a pair that no path can follow; it must not divide by 0.
    right = tf.math.divide_no_nan(right * weights[:, None, None], scale)
    right = tf.where(chain.mask[:, 1:, None], right, 0)
    return tf.exp(chain.transitions[:-1]) * tf.einsum("bti,btj->ij", left, right)


def _backward(chain: LinearChain, combine: Callable[[tf.Tensor], _Combine]) -> tf.Tensor:
    lengths = tf.reduce_sum(tf.cast(chain.mask, tf.int32), axis=1)

    def reverse(scores: tf.Tensor) -> tf.Tensor:
        return tf.reverse_sequence(scores, lengths, seq_axis=1)

    to_from = combine(tf.transpose(chain.transitions[:-1]))
    return reverse(_messages(reverse(chain.emissions), chain.end, to_from))


def _messages(emissions: tf.Tensor, first: tf.Tensor, combine: _Combine) -> tf.Tensor:
    """What the steps before bring to each tag, step by step: `(batch, time, tags)`."""
    first = tf.broadcast_to(first, [tf.shape(emissions)[0], tf.shape(first)[0]])
    messages = _states(lambda message, emission: combine(message + emission), first, emissions)
    return tf.transpose(messages, (1, 0, 2))[:, :-1]


def _states(
    step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], first: tf.Tensor, inputs: tf.Tensor
) -> tf.Tensor:
    """The states of a recurrence from the first to that after the last input, time first."""
    # `tf.scan` would do, but fails in a graph where there are no steps.
    inputs = tf.transpose(inputs, (1, 0, 2))
    steps = tf.shape(inputs)[0]

    def advance(
        time: tf.Tensor, state: tf.Tensor, states: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        state = step(state, inputs[time])
        return time + 1, state, states.write(time + 1, state)

    states = tf.TensorArray(first.dtype, size=steps + 1).write(0, first)
    *_, states = tf.while_loop(lambda time, *_: time < steps, advance, (0, first, states))
    return states.stack()


def _log_sum(transitions: tf.Tensor) -> _Combine:
    weights = tf.exp(transitions)

    def combine(scores: tf.Tensor) -> tf.Tensor:
        # A product of matrices, ten times faster than `reduce_logsumexp` over pairs of tags.
        highest = tf.reduce_max(scores, axis=-1, keepdims=True)
        return highest + tf.math.log(tf.matmul(tf.exp(scores - highest), weights))

    return combine


def _maximum(transitions: tf.Tensor) -> _Combine:
    to_from = tf.transpose(transitions)
    return lambda scores: tf.reduce_max(scores[:, None] + to_from, axis=-1)
