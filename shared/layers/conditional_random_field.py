"""A linear-chain conditional random field over BIO tags: likelihood, best path, probabilities.

Lafferty, McCallum and Pereira, "Conditional random fields: probabilistic models for segmenting and
labeling sequence data", 2001; Collobert et al., "Natural language processing (almost) from
scratch", 2011, section 3.3.2, for its use on top of a network.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from shared.layers.linear_chain import (
    LinearChain,
    best_path,
    log_partition,
    marginals,
    marginals_given_previous,
    path_score,
    previous_tags,
    sums_after,
    sums_before,
)

_VIOLATION = -1e4


@keras.saving.register_keras_serializable("quartet")
class ConditionalRandomField(keras.layers.Layer):
    """Scores of a tag after another, on top of a network's scores of each tag at each step.

    The score of a path is the sum of its emissions, of a weight for each pair of neighbouring
    tags, and of a weight each for the first and the last tag. What BIO forbids (`I-x` at the
    beginning or after another tag than `B-x` or `I-x`) has no probability and is never decoded.

    The layer returns the emissions as they are and is there to own the weights. A mask ends here:
    Keras would apply it to the loss, which has one value per sentence instead of one per step.

    Masks are true at the steps of the sentence, which come first; a row without any is allowed.
    Probabilities are computed in float64, whose exponential reaches 700 nats below the best tag
    before it is 0; that of float32 ends at 87.

    Args:
        tags: Names of the tags in index order: `"O"`, `"B-city"`, `"I-city"` and so on. Each
            `I-x` needs its `B-x`.

    Raises:
        ValueError: On no tags, a tag that is not BIO or occurs twice, or `I-x` without `B-x`.
    """

    def __init__(self, tags: Sequence[str], **kwargs: object) -> None:
        super().__init__(autocast=False, **kwargs)
        _check_tags(tags)
        self.tags = tuple(tags)
        self.supports_masking = True
        self._begins, self._continues, self._allowed = _bio_rules(self.tags)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        tags = len(self.tags)
        if input_shape[-1] != tags:
            raise ValueError(
                f"The emissions have shape {tuple(input_shape)}; expected (batch, time, {tags}), "
                "one score for each of the layer's tags."
            )
        self.transitions = self.add_weight(
            shape=(tags, tags), initializer="zeros", name="transitions"
        )
        self.start = self.add_weight(shape=(tags,), initializer="zeros", name="start")
        self.end = self.add_weight(shape=(tags,), initializer="zeros", name="end")

    def call(self, emissions: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.identity(emissions)  # A tensor of its own, for the mask stays with the other.

    def compute_mask(self, inputs: tf.Tensor, previous_mask: tf.Tensor | None = None) -> None:
        return None

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "tags": list(self.tags)}

    def negative_log_likelihood(self, tag_indices: tf.Tensor, emissions: tf.Tensor) -> tf.Tensor:
        """How unlikely the true tags are; a loss in Keras' order of arguments.

        Args:
            tag_indices: int32 `(batch, time)`, the true tags, -1 behind the end of the sentence.
            emissions: float `(batch, time, tags)`.

        Returns:
            Float32 `(batch,)`, in nats, not negative; 0 for a row without steps. True tags that
            BIO forbids cost 10,000 per violation and leave the loss finite.
        """
        tag_indices = tf.cast(tag_indices, tf.int32)  # Keras makes the targets of a loss float32.
        mask = tag_indices >= 0
        chain = self._chain(emissions, mask, tf.float64)
        finite = chain._replace(transitions=tf.maximum(chain.transitions, _VIOLATION))
        true_score = path_score(finite, tf.maximum(tag_indices, 0))
        return tf.cast(log_partition(chain) - true_score, tf.float32)

    def decode(self, emissions: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the best path (Viterbi 1967).

        Args:
            emissions: float `(batch, time, tags)`.
            mask: bool `(batch, time)`.

        Returns:
            Tag indices int32 `(batch, time)`, -1 where masked, and the path's score, float32
            `(batch,)`: a sum of emissions and weights, 0 for a row without steps.
        """
        chain = self._chain(emissions, mask, tf.float32)
        path = best_path(chain)
        return tf.where(mask, path, -1), path_score(chain, path)

    def marginals(self, emissions: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Probability of each tag at each step (forward-backward algorithm).

        Args:
            emissions: float `(batch, time, tags)`.
            mask: bool `(batch, time)`.

        Returns:
            Float32 `(batch, time, tags)`; sums to 1 over the tags, all 0 where masked.
        """
        chain = self._chain(emissions, mask, tf.float64)
        return tf.cast(marginals(chain, sums_before(chain), sums_after(chain)), tf.float32)

    def span_probabilities(
        self, emissions: tf.Tensor, mask: tf.Tensor, tag_indices: tf.Tensor
    ) -> tf.Tensor:
        """Probability of each span of a path: exactly these bounds and this name.

        It is the sum over all paths that have the span, whatever their other tags are. Given the
        sentence, the tags are a Markov chain: the probability is that of `B-x`, times that of each
        `I-x` given the tag before it, times that of no further `I-x`.

        Args:
            emissions: float `(batch, time, tags)`.
            mask: bool `(batch, time)`.
            tag_indices: int32 `(batch, time)`, -1 where masked, without anything that BIO forbids:
                as `decode` returns them.

        Returns:
            Float32 `(batch, time)`: a span's probability at its first step, 0 at all others.
        """
        chain = self._chain(emissions, mask, tf.float64)
        path = tf.maximum(tag_indices, 0)
        previous = previous_tags(path, start=len(self.tags))
        begins = mask & tf.gather(self._begins, path)
        continues = tf.gather(self._continues, previous)
        inside = mask & tf.gather(continues, path, batch_dims=2)
        after = sums_after(chain)
        given_previous = marginals_given_previous(chain, after, previous)
        first = tf.gather(marginals(chain, sums_before(chain), after), path, batch_dims=2)
        further = tf.gather(given_previous, path, batch_dims=2)
        ending = tf.reduce_sum(tf.where(continues, tf.zeros_like(after), given_previous), axis=-1)
        log_probabilities = _sums_of_spans(
            begins,
            tf.math.log(tf.where(begins, first, tf.where(inside, further, 1))),
            tf.math.log(tf.where(mask & ~inside, ending, 1)),
        )
        return tf.cast(tf.where(begins, tf.exp(log_probabilities), 0), tf.float32)

    def _chain(self, emissions: tf.Tensor, mask: tf.Tensor, dtype: tf.DType) -> LinearChain:
        emissions = tf.cast(emissions, dtype)
        transitions = tf.concat([self.transitions, self.start[None]], axis=0)
        return LinearChain(
            # Whatever a network answers on padding, be it NaN, must not reach the sentence.
            emissions=tf.where(mask[..., None], emissions, tf.zeros_like(emissions)),
            transitions=tf.where(self._allowed, tf.cast(transitions, dtype), -np.inf),
            end=tf.cast(self.end, dtype),
            mask=mask,
        )


def _check_tags(tags: Sequence[str]) -> None:
    problems = [] if tags else ["there are none"]
    for tag in tags:
        prefix, _, name = tag.partition("-")
        if tag != "O" and not (prefix in ("B", "I") and name):
            problems.append(f"{tag!r} is not BIO")
        if prefix == "I" and name and f"B-{name}" not in tags:
            problems.append(f"{tag!r} has no 'B-{name}' to follow")
    problems += [f"{tag!r} occurs twice" for tag in sorted(set(tags)) if list(tags).count(tag) > 1]
    if problems:
        raise ValueError(
            f"`tags` cannot be used: {'; '.join(problems)}. Expected 'O', and 'B-x' and 'I-x' for "
            "each name x, every tag once."
        )


def _bio_rules(tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which tags begin a span; which continue the span of, and which may follow, each tag.

    The last row of the second and third is for the start of a sentence.
    """
    begins = np.array([tag.startswith("B-") for tag in tags])
    inside = np.array([tag.startswith("I-") for tag in tags])
    names = np.array([tag[2:] for tag in tags])
    continues = inside & (names[:, None] == names) & (begins | inside)[:, None]
    continues = np.concatenate([continues, np.zeros((1, len(tags)), bool)])
    return begins, continues, continues | ~inside


def _sums_of_spans(begins: tf.Tensor, at_step: tf.Tensor, behind: tf.Tensor) -> tf.Tensor:
    """Sum of `at_step` from each beginning up to the next; `behind` counts for the span before."""
    count = tf.cast(begins, tf.int32)
    batch, time = tf.unstack(tf.shape(count))
    row = tf.range(batch)[:, None] * (time + 1)
    span, span_before = row + tf.cumsum(count, axis=1), row + tf.cumsum(count, 1, exclusive=True)
    sums = tf.math.unsorted_segment_sum(
        tf.concat([at_step, behind], axis=1),
        tf.concat([span, span_before], axis=1),
        batch * (time + 1),
    )
    return tf.gather(sums, span)
