"""Waveforms at one sample rate, from any other, with TensorFlow ops: in training and in serving.

Band-limited interpolation after Smith, "Digital audio resampling",
https://ccrma.stanford.edu/~jos/resample: an output is the sum of the inputs around its place,
weighted by a sinc under a Kaiser window, which cuts off below half the lower of the two rates.
"""

import numpy as np
import tensorflow as tf

LOWEST_SAMPLE_RATE = 100
HIGHEST_SAMPLE_RATE = 768_000

_ZERO_CROSSINGS = 48  # of the sinc on each side
_ATTENUATION = 80.0  # dB, behind half the lower rate
_CUTOFF = 0.95  # as a share of half the lower rate; the gain falls from 1 to 0 around it
_TABLE_STEPS = 256  # table entries per zero crossing; with linear interpolation, errors of -94 dB
_NODES = 8  # offsets at which the filters of an odd rate are computed; errors of -100 dB
_LONGEST_PERIOD = 1024  # in samples at either rate
_SAMPLES = tf.TensorSpec((None, None), tf.float32, name="samples")
_LENGTHS = tf.TensorSpec((None,), tf.int32, name="lengths")
_RATES = tf.TensorSpec((None,), tf.int32, name="sample_rates")
_RATE = tf.TensorSpec((), tf.int32, name="target_rate")


@tf.function(input_signature=[_SAMPLES, _LENGTHS, _RATES, _RATE], autograph=False)
def resample(
    samples: tf.Tensor, lengths: tf.Tensor, sample_rates: tf.Tensor, target_rate: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Brings every row of a batch to one sample rate.

    Frequencies up to 0.9 of half the lower rate keep their strength, those above half of it are
    weakened by 80 dB. A row that has the target rate comes back untouched.

    Args:
        samples: float32 `(batch, samples)`, padded with zeros.
        lengths: int32 `(batch,)`, in samples.
        sample_rates: int32 `(batch,)`, in Hz, from `LOWEST_SAMPLE_RATE` to `HIGHEST_SAMPLE_RATE`.
        target_rate: int, in Hz.

    Returns:
        Samples, float32 `(batch, samples)`, padded with zeros, and their lengths, int32 `(batch,)`,
        `lengths * target_rate / sample_rates` rounded up. A row of a rate outside the limits is
        empty: of length 0.
    """
    rates = tf.where(lengths > 0, sample_rates, target_rate)
    return tf.cond(
        tf.reduce_all(rates == target_rate),
        lambda: (samples, lengths),
        lambda: _resample_groups(samples, lengths, rates, tf.cast(target_rate, tf.int64)),
    )


def _resample_groups(
    samples: tf.Tensor, lengths: tf.Tensor, rates: tf.Tensor, target_rate: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resamples the rows of each rate together, because they share their filters."""
    is_possible = (rates >= LOWEST_SAMPLE_RATE) & (rates <= HIGHEST_SAMPLE_RATE)
    lengths = tf.cast(tf.where(is_possible, lengths, 0), tf.int64)
    rates = tf.where(is_possible, tf.cast(rates, tf.int64), target_rate)
    new_lengths = (lengths * target_rate + rates - 1) // rates
    width = tf.reduce_max(new_lengths)
    distinct, groups = tf.unique(rates)

    def resample_group(group: tf.Tensor, result: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rate = distinct[group]
        rows = tf.where(groups == group)
        inputs = tf.gather_nd(samples, rows)[:, : tf.reduce_max(tf.gather_nd(lengths, rows))]
        outputs = tf.cond(
            rate == target_rate, lambda: inputs, lambda: _resample(inputs, rate, target_rate)
        )
        outputs = tf.pad(outputs, [[0, 0], [0, width - tf.shape(outputs, tf.int64)[1]]])
        return group + 1, tf.tensor_scatter_nd_update(result, rows, outputs)

    _, result = tf.while_loop(
        lambda group, _: group < tf.size(distinct),
        resample_group,
        (0, tf.zeros((tf.size(lengths, tf.int64), width))),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    # The filter rings behind the end of a row.
    result = tf.where(tf.sequence_mask(new_lengths, width), result, 0.0)
    return result, tf.cast(new_lengths, tf.int32)


def _resample(inputs: tf.Tensor, rate: tf.Tensor, target_rate: tf.Tensor) -> tf.Tensor:
    """Resamples rows `(batch, samples)` of one rate to another, int64 scalars.

    The inputs are cut into blocks. The outputs that lie in a block, at a distance of `rate /
    target_rate` from each other, are one matrix product of it and its neighbours. If a block has a
    whole number of outputs, all blocks share the matrix. If not, outputs are shifted differently in
    each block, and its matrix is interpolated between matrices for a few shifts.
    """
    reach = _reach(rate, target_rate)
    block = _block_length(rate, target_rate, 2 * reach)
    batch, samples = tf.unstack(tf.shape(inputs, tf.int64))
    blocks = samples // block + 1
    padding = (blocks + 1) * block - reach - samples
    inputs = tf.reshape(tf.pad(inputs, [[0, 0], [reach, padding]]), [batch, blocks + 1, block])
    return tf.cond(
        block * target_rate % rate == 0,
        lambda: _filter_blocks(inputs, rate, target_rate, np.zeros(1)),
        lambda: _filter_blocks(inputs, rate, target_rate, _chebyshev_nodes()),
    )[:, : _ceil_divide(samples * target_rate, rate)]


def _reach(rate: tf.Tensor, target_rate: tf.Tensor) -> tf.Tensor:
    """On how many inputs to each side an output depends."""
    return _ceil_divide(_ZERO_CROSSINGS * tf.maximum(rate, target_rate), target_rate)


def _block_length(rate: tf.Tensor, target_rate: tf.Tensor, least: tf.Tensor) -> tf.Tensor:
    """At least `least` inputs, and as long as a whole number of outputs if that is not too many."""
    periods = tf.range(1, _LONGEST_PERIOD + 1, dtype=tf.int64)
    outputs = periods * target_rate
    fits = (outputs % rate == 0) & (outputs <= _LONGEST_PERIOD * rate)
    period = tf.where(tf.reduce_any(fits), 1 + tf.argmax(fits), 1)
    return _ceil_divide(least, period) * period


def _filter_blocks(
    blocks: tf.Tensor, rate: tf.Tensor, target_rate: tf.Tensor, nodes: np.ndarray
) -> tf.Tensor:
    """The outputs `(batch, outputs)` that lie in all of `blocks` but the last.

    Args:
        blocks: `(batch, blocks, inputs)`, beginning `_reach` inputs before the first output.
        rate: int64 scalar.
        target_rate: rate of the outputs.
        nodes: shifts of the outputs in a block, as shares of their distance, for which filters are
            computed.
    """
    batch, num_blocks, length = tf.unstack(tf.shape(blocks, tf.int64))
    outputs = _ceil_divide(length * target_rate, rate)
    starts = tf.range(num_blocks - 1) * length * target_rate
    first = _ceil_divide(starts, rate)
    shifts = tf.cast(first * rate - starts, tf.float64) / tf.cast(rate, tf.float64)
    weights = tf.cast(_lagrange_weights(shifts, nodes), tf.float32)
    table = tf.constant(_TABLE)
    filtered = tf.zeros(())
    for index, node in enumerate(nodes):
        filters = _filters(table, rate, target_rate, length, node)
        products = tf.tensordot(blocks, filters, 1)
        sums = products[:, :-1, :outputs] + products[:, 1:, outputs:]
        filtered += weights[:, index, tf.newaxis] * sums
    filtered = tf.reshape(filtered, [batch, (num_blocks - 1) * outputs])
    if len(nodes) == 1:
        return filtered
    # Of the places for outputs in a block, the last may lie in the next block.
    places = tf.range(_ceil_divide((num_blocks - 1) * length * target_rate, rate))
    block = places * rate // (target_rate * length)
    return tf.gather(filtered, block * outputs + places - tf.gather(first, block), axis=1)


def _filters(
    table: tf.Tensor, rate: tf.Tensor, target_rate: tf.Tensor, length: tf.Tensor, shift: float
) -> tf.Tensor:
    """Weights `(inputs, 2 * outputs)` of a block in its own outputs and in those before it."""
    outputs = _ceil_divide(length * target_rate, rate)
    step = tf.cast(rate, tf.float64) / tf.cast(target_rate, tf.float64)
    scale = tf.cast(tf.minimum(1 / step, 1.0), tf.float32)
    places = (tf.range(tf.cast(outputs, tf.float64), dtype=tf.float64) + shift) * step
    whole = tf.floor(places)
    inputs = tf.range(length)[:, tf.newaxis] - _reach(rate, target_rate)
    inputs = tf.cast(tf.stack([inputs, inputs + length], axis=1), tf.int32)
    # Whole numbers first, that float32 is exact where the filter is steep.
    distances = tf.cast(inputs - tf.cast(whole, tf.int32), tf.float32)
    distances -= tf.cast(places - whole, tf.float32)
    positions = tf.abs(distances) * (scale * _TABLE_STEPS)
    index = tf.minimum(tf.cast(positions, tf.int32), len(_TABLE) - 2)
    left, right = tf.gather(table, index), tf.gather(table, index + 1)
    values = left + (positions - tf.floor(positions)) * (right - left)
    return tf.reshape(scale * values, [length, 2 * outputs])


def _windowed_sinc() -> np.ndarray:
    """The right half of the filter, `_TABLE_STEPS` values per zero crossing."""
    end = _ZERO_CROSSINGS * _TABLE_STEPS
    place = np.arange(end + 1) / _TABLE_STEPS
    beta = 0.1102 * (_ATTENUATION - 8.7)
    window = np.i0(beta * np.sqrt(1 - (place / _ZERO_CROSSINGS) ** 2)) / np.i0(beta)
    sinc = _CUTOFF * np.sinc(_CUTOFF * place)
    # Behind the end, where nothing reaches.
    return np.append((sinc * window)[:-1], [0, 0]).astype(np.float32)


_TABLE = _windowed_sinc()


def _chebyshev_nodes() -> np.ndarray:
    """Places between 0 and 1 from which a polynomial is interpolated with the least error."""
    return 0.5 - 0.5 * np.cos((np.arange(_NODES) + 0.5) * np.pi / _NODES)


def _lagrange_weights(places: tf.Tensor, nodes: np.ndarray) -> tf.Tensor:
    """Weights `(places, nodes)` of the values at `nodes` in those at `places`."""
    exponents = np.arange(len(nodes), dtype=np.float64)
    coefficients = np.linalg.inv(nodes[:, np.newaxis] ** exponents)
    return tf.matmul(places[:, tf.newaxis] ** exponents, coefficients)


def _ceil_divide(dividend: tf.Tensor, divisor: tf.Tensor) -> tf.Tensor:
    return -(-dividend // divisor)
