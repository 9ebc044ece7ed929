import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.layers.noise_augmentation import Babble, ColoredNoise, Reverberation
from shared.layers.waveform_augmentation import Gain, Shift, Speed, WaveformAugmentation

LAYERS = [Gain, Shift, Speed, ColoredNoise, Babble, Reverberation]
LENGTHS = np.array([4000, 3999, 1500, 1, 0], np.int32)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def rows(padding: int = 0) -> np.ndarray:
    samples = noise(len(LENGTHS), 4000) * (np.arange(4000) < LENGTHS[:, np.newaxis])
    return np.pad(samples, ((0, 0), (0, padding)))


def seed(layer: WaveformAugmentation) -> None:
    layer.seed_generator.state.assign([7, 0])


def augment(layer, samples: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The result, the same for layers that are made alike."""
    seed(layer)
    samples, lengths = layer(tf.constant(samples), tf.constant(lengths), training=True)
    return samples.numpy(), lengths.numpy()


def augment_full(layer, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return augment(layer, samples, np.full(len(samples), samples.shape[1], np.int32))


def decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power)


@pytest.mark.parametrize("make", LAYERS)
def test_acts_only_in_training_and_on_chosen_rows(make):
    samples = rows()
    for layer, training in ((make(), False), (make(probability=0.0), True)):
        same, same_lengths = layer(samples, LENGTHS, training=training)
        np.testing.assert_array_equal(same, samples)
        np.testing.assert_array_equal(same_lengths, LENGTHS)
    changed, lengths = augment(make(), samples, LENGTHS)
    assert (changed[:3, :4000] != samples[:3, : changed.shape[1]]).any(axis=1).all()


@pytest.mark.parametrize("make", LAYERS)
def test_results_are_finite_and_padded_with_zeros(make):
    samples, lengths = augment(make(), rows(), LENGTHS)
    assert (samples.dtype, lengths.dtype) == (np.float32, np.int32)
    assert lengths.max() <= samples.shape[1]
    assert np.isfinite(samples).all()
    assert not samples[np.arange(samples.shape[1]) >= lengths[:, np.newaxis]].any()
    assert not augment_full(make(), np.zeros((2, 300), np.float32))[0].any()


# Played backwards, the other rows of a babble begin where the batch ends.
@pytest.mark.parametrize("make", [make for make in LAYERS if make is not Babble])
def test_padding_does_not_matter(make):
    samples, lengths = augment(make(), rows(), LENGTHS)
    padded, padded_lengths = augment(make(), rows(padding=777), LENGTHS)
    np.testing.assert_array_equal(padded_lengths, lengths)
    np.testing.assert_allclose(padded[:, : samples.shape[1]], samples, atol=1e-5)


@pytest.mark.parametrize("make", LAYERS)
def test_seed_reproduces_and_calls_differ(make):
    first, _ = augment(make(probability=0.7), rows(), LENGTHS)
    again, _ = augment(make(probability=0.7), rows(), LENGTHS)
    np.testing.assert_array_equal(first, again)
    layer = make()
    calls = [layer(rows(), LENGTHS, training=True)[0].numpy().tobytes() for _ in range(4)]
    assert len(set(calls)) > 1


@pytest.mark.parametrize("make", LAYERS)
def test_probability_is_the_share_of_changed_rows(make):
    samples = noise(400, 50)
    changed, _ = augment_full(make(probability=0.3), samples)
    is_changed = (changed[:, :50] != samples[:, : changed.shape[1]]).any(axis=1)
    assert 0.2 < is_changed.mean() < 0.4


@pytest.mark.parametrize("make", LAYERS)
def test_layer_works_in_a_traced_step_and_is_saved(make):
    layer = make(probability=0.5)
    step = tf.function(lambda *row: layer(*row, training=True), autograph=False)
    seed(layer)
    traced = step(tf.constant(rows()), tf.constant(LENGTHS))
    eager = augment(layer, rows(), LENGTHS)
    np.testing.assert_allclose(traced[0], eager[0], atol=1e-5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()


def test_gain_is_between_its_limits():
    samples = noise(300, 20)
    changed, _ = augment_full(Gain((-12.0, 6.0)), samples)
    gains = decibels((changed**2).sum(axis=1) / (samples**2).sum(axis=1))
    assert -12 <= gains.min() < -10 and 4 < gains.max() <= 6
    np.testing.assert_allclose(changed / samples, (changed / samples)[:, :1].repeat(20, 1), 1e-4)


def test_shift_puts_silence_before_a_row():
    samples = noise(200, 30)
    lengths = np.tile([30, 20], 100).astype(np.int32)
    samples[1::2, 20:] = 0
    changed, changed_lengths = augment(Shift(9), samples, lengths)
    shifts = changed_lengths - lengths
    assert set(shifts) == set(range(10))
    for row, shift in enumerate(shifts):
        assert not changed[row, :shift].any()
        own = changed[row, shift : changed_lengths[row]]
        np.testing.assert_array_equal(own, samples[row, : lengths[row]])


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
def test_speed_changes_length_and_pitch(speed):
    time = np.arange(8000)
    samples = np.sin(2 * np.pi * 0.02 * time)[np.newaxis].astype(np.float32)
    changed, (length,) = augment_full(Speed((speed,)), samples)
    assert length == np.ceil(8000 / speed)
    wanted = np.sin(2 * np.pi * 0.02 * speed * np.arange(length))
    np.testing.assert_allclose(changed[0, 200 : length - 200], wanted[200:-200], atol=1e-3)


def test_speeds_are_drawn_for_each_row():
    _, lengths = augment_full(Speed((0.8, 1.0, 1.25)), noise(60, 1000))
    assert set(lengths) == {800, 1000, 1250}


@pytest.mark.parametrize("make", [ColoredNoise, Babble])
def test_noise_has_the_ratio_to_the_signal_over_the_length_of_its_row(make):
    samples = noise(100, 4000)
    lengths = np.tile([4000, 900], 50).astype(np.int32)
    samples[1::2, 900:] = 0
    changed, _ = augment(make((5.0, 20.0)), samples, lengths)
    ratios = decibels((samples**2).sum(axis=1) / ((changed - samples) ** 2).sum(axis=1))
    assert 4.99 < ratios.min() < 7 and 18 < ratios.max() < 20.01


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_its_color(slope):
    silence_but_one = np.zeros((20, 40_000), np.float32)
    silence_but_one[:, 0] = 1
    changed, _ = augment_full(ColoredNoise((0.0, 0.0), (slope, slope)), silence_but_one)
    power = (np.abs(np.fft.rfft(changed[:, 1:32_769])) ** 2).mean(axis=0)
    low, high = power[100:200].mean(), power[3200:6400].mean()
    np.testing.assert_allclose(np.log2(low / high) / 5, slope, atol=0.1)
    np.testing.assert_allclose(changed[:, 32_769:], changed[:, 1:7232], atol=1e-6)


def test_babble_is_made_of_the_other_rows_backwards():
    samples = np.eye(4, 10, dtype=np.float32)
    changed, _ = augment_full(Babble((0.0, 0.0)), samples)
    added = changed - samples
    for row in range(4):
        others = [9 - other for other in range(4) if other != row]
        assert np.flatnonzero(added[row] > 1e-3).tolist() == sorted(others)


def test_reverberation_falls_by_60_decibels_in_its_time():
    impulse = np.zeros((200, 12_000), np.float32)
    impulse[:, 10] = 1
    layer = Reverberation(16_000, (0.5, 0.5), (5.0, 5.0))
    responses = augment_full(layer, impulse)[0]
    assert np.abs(responses[:, :10]).max() < 1e-5
    responses = responses[:, 10:]
    np.testing.assert_allclose((responses**2).sum(axis=1), 1, atol=1e-3)
    ratio = decibels(responses[:, 0] ** 2 / (responses[:, 1:] ** 2).sum(axis=1))
    np.testing.assert_allclose(ratio, 5, atol=0.01)
    power = (responses**2).mean(axis=0)
    early, late = power[400:800].mean(), power[4400:4800].mean()
    np.testing.assert_allclose(decibels(early / late), 60 * 0.25 / 0.5, atol=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain(probability=1.5), "probability is 1.5"),
        (lambda: Gain((3.0, 1.0)), r"decibels is \(3.0, 1.0\)"),
        (lambda: Shift(-1), "longest is -1"),
        (lambda: Speed(()), "at least one"),
        (lambda: Speed((0.0,)), "from 0.1 to 10"),
        (lambda: ColoredNoise((1.0,)), r"snr is \(1.0,\)"),
        (lambda: Reverberation(seconds=(0.0, 1.0)), "more than 0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
