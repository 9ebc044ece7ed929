import librosa
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from shared.layers.resampling import HIGHEST_SAMPLE_RATE, LOWEST_SAMPLE_RATE, resample

TARGET = 16_000
EDGE = 200  # outputs that the ends of a row reach
RATES = [8000, 11_025, 15_999, 16_001, 22_050, 44_099, 44_100, 48_000, 96_000, 192_000]


@tf.function(
    input_signature=[
        tf.TensorSpec((None, None), tf.float32, name="samples"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
        tf.TensorSpec((None,), tf.int32, name="sample_rates"),
    ],
    autograph=False,
)
def to_target(samples: tf.Tensor, lengths: tf.Tensor, sample_rates: tf.Tensor) -> dict:
    samples, lengths = resample(samples, lengths, sample_rates, TARGET)
    return {"samples": samples, "lengths": lengths}


def convert(waveform: np.ndarray, rate: int, target_rate: int = TARGET) -> np.ndarray:
    samples, lengths = resample(
        tf.constant(waveform[np.newaxis], tf.float32),
        tf.constant([len(waveform)]),
        tf.constant([rate]),
        target_rate,
    )
    assert lengths.numpy() == [-(-len(waveform) * target_rate // rate)] == [samples.shape[1]]
    return samples.numpy()[0]


def sine(frequency: float, rate: int, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency / rate * np.arange(samples) + 0.3)


def decibels(waveform: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(waveform[EDGE:-EDGE] ** 2) + 1e-20))


def noise(samples: int, rate: int, highest: float) -> np.ndarray:
    """Noise without frequencies above `highest`."""
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=samples))
    spectrum[np.fft.rfftfreq(samples, 1 / rate) > highest] = 0
    return np.fft.irfft(spectrum, samples)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.85])
@pytest.mark.parametrize("rate", RATES)
def test_a_sine_stays_the_sine(rate, share):
    frequency = share * min(rate, TARGET) / 2
    result = convert(sine(frequency, rate, rate // 4), rate)
    wanted = sine(frequency, TARGET, len(result))
    assert decibels(wanted) - decibels(result - wanted) > 75


@pytest.mark.parametrize("target_rate", [8000, 11_025, 44_100, 48_000])
def test_other_targets(target_rate):
    result = convert(sine(1000, 22_050, 6000), 22_050, target_rate)
    wanted = sine(1000, target_rate, len(result))
    assert decibels(wanted) - decibels(result - wanted) > 75


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > 20_000])
def test_frequencies_that_the_target_lacks_are_gone(rate):
    for frequency in (8100, 9000, 0.45 * rate):
        waveform = sine(frequency, rate, rate // 4)
        assert decibels(convert(waveform, rate)) - decibels(waveform) < -80


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_equals_scipy_and_librosa(rate):
    waveform = noise(rate // 2, rate, 0.85 * min(rate, TARGET) / 2)
    result = convert(waveform, rate)
    common = np.gcd(rate, TARGET)
    up, down = TARGET // common, rate // common
    filters = scipy.signal.firwin(
        128 * max(up, down) + 1, 0.96 / max(up, down), window=("kaiser", 9)
    )
    poly = scipy.signal.resample_poly(waveform, up, down, window=filters)
    soxr = librosa.resample(waveform, orig_sr=rate, target_sr=TARGET, res_type="soxr_vhq")
    for wanted in (poly, soxr):
        assert len(wanted) == len(result)
        assert decibels(wanted) - decibels(result - wanted) > 70


def test_rows_of_the_target_rate_are_untouched():
    samples = np.random.default_rng(0).normal(size=(3, 700)).astype(np.float32)
    samples[1, 500:] = samples[2] = 0
    lengths, rates = tf.constant([700, 500, 0]), tf.constant([TARGET, TARGET, 0])
    same, same_lengths = resample(samples, lengths, rates, TARGET)
    np.testing.assert_array_equal(same, samples)
    np.testing.assert_array_equal(same_lengths, lengths)
    rates = tf.constant([8000, TARGET, 0])
    mixed, mixed_lengths = resample(samples, lengths, rates, TARGET)
    np.testing.assert_array_equal(mixed[1, :700], samples[1])
    assert mixed_lengths.numpy().tolist() == [1400, 500, 0]
    assert not mixed.numpy()[2].any()


def test_a_row_alone_equals_the_row_in_a_batch():
    rates = np.array([*RATES, TARGET, 44_100, 8000], np.int32)
    lengths = np.random.default_rng(1).integers(1, 9000, len(rates)).astype(np.int32)
    lengths[0] = 1
    samples = np.random.default_rng(0).normal(size=(len(rates), 9000)).astype(np.float32)
    samples[np.arange(9000) >= lengths[:, np.newaxis]] = 0
    batch = to_target(samples, lengths, rates)
    assert batch["samples"].shape == (len(rates), max(batch["lengths"]))
    for row, (length, rate) in enumerate(zip(lengths, rates, strict=True)):
        alone = convert(samples[row, :length], rate)
        assert len(alone) == batch["lengths"][row]
        np.testing.assert_allclose(batch["samples"][row, : len(alone)], alone, atol=1e-5)
        assert not batch["samples"].numpy()[row, len(alone) :].any()


def test_a_row_of_an_impossible_rate_is_empty_and_alone():
    samples = tf.ones((4, 50))
    rates = tf.constant([0, LOWEST_SAMPLE_RATE - 1, HIGHEST_SAMPLE_RATE + 1, 8000])
    result, lengths = resample(samples, tf.fill([4], 50), rates, TARGET)
    assert lengths.numpy().tolist() == [0, 0, 0, 100]
    assert not result.numpy()[:3].any()
    np.testing.assert_array_equal(result[3], convert(np.ones(50), 8000))


@pytest.mark.parametrize("rate", [LOWEST_SAMPLE_RATE, 997, HIGHEST_SAMPLE_RATE - 1])
def test_extreme_rates_keep_a_constant(rate):
    result = convert(np.ones(rate), rate)
    middle = slice(len(result) * 4 // 10, len(result) * 6 // 10)
    np.testing.assert_allclose(result[middle], 1, atol=1e-3)


def test_the_exported_function_is_equal(tmp_path):
    module = tf.Module()
    module.serve = to_target
    tf.saved_model.save(module, str(tmp_path), signatures=to_target)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    samples = np.random.default_rng(0).normal(size=(3, 900)).astype(np.float32)
    rates = np.array([44_100, 44_099, TARGET], np.int32)
    arguments = {"samples": samples, "lengths": np.full(3, 900, np.int32), "sample_rates": rates}
    wanted = to_target(**arguments)
    for name, value in served(**{k: tf.constant(v) for k, v in arguments.items()}).items():
        np.testing.assert_array_equal(value, wanted[name])
