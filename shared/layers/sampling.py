"""Choosing the next word of a text from the scores of all words."""

import tensorflow as tf


def sample(
    logits: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
    uniform: tf.Tensor,
) -> tf.Tensor:
    """Draws one class per row from the likeliest ones.

    Args:
        logits: float32 `(batch, classes)`.
        temperature: float32 `(batch,)`. Logits are divided by it; 0 takes the likeliest class.
        top_k: int32 `(batch,)`. Only so many of the likeliest classes count; 0 or less for all.
        top_p: float32 `(batch,)`. Of these, only the fewest that together have this probability
            (Holtzman et al., https://arxiv.org/abs/1904.09751); 1 for all.
        uniform: float32 `(batch,)`, random numbers from 0 to 1, which decide.

    Returns:
        Int32 `(batch,)`.
    """
    classes = tf.shape(logits)[1]
    # The likeliest class has a share of 1 when others are out of the question.
    cold = temperature <= 0
    scaled = logits / tf.where(cold, 1.0, temperature)[:, None]
    scaled, order = tf.math.top_k(scaled, classes)
    probabilities = tf.nn.softmax(scaled)
    before = tf.cumsum(probabilities, axis=1, exclusive=True)
    limit = tf.where(top_k > 0, top_k, classes)
    limit = tf.where(cold, 1, limit)
    is_first = tf.range(classes) == 0
    kept = is_first | ((tf.range(classes) < limit[:, None]) & (before < top_p[:, None]))
    kept_probabilities = tf.where(kept, probabilities, 0.0)
    sums = tf.cumsum(kept_probabilities, axis=1)
    place = tf.reduce_sum(tf.cast(sums <= uniform[:, None] * sums[:, -1:], tf.int32), axis=1)
    last = tf.reduce_sum(tf.cast(kept, tf.int32), axis=1) - 1
    return tf.gather(order, tf.minimum(place, last), batch_dims=1)
