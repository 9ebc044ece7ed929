import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf

from shared.layers.log_mel_spectrogram import LogMelSpectrogram, PerUtteranceNormalization

SETTINGS = [
    {},
    {"mel_bins": 40, "window_length": 512, "hop_length": 128, "lowest_frequency": 0.0},
    {"sample_rate": 8000, "mel_bins": 23, "window_length": 200, "hop_length": 80,
     "fft_length": 256, "lowest_frequency": 100.0, "highest_frequency": 3800.0},
    {"sample_rate": 44_100, "mel_bins": 128, "window_length": 1103, "hop_length": 441,
     "fft_length": 2048, "highest_frequency": 16_000.0, "dynamic_range": 60.0},
    {"window_length": 321, "hop_length": 97, "fft_length": 600},
]  # fmt: skip


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def speech_like(samples: int, sample_rate: int) -> np.ndarray:
    """A gliding tone with overtones and some noise, and pauses of digital silence."""
    time = np.arange(samples) / sample_rate
    phase = 2 * np.pi * (150 * time + 100 * time**2)
    tones = sum(0.2 * np.sin(k * phase) / k for k in range(1, 9))
    return ((tones + 0.01 * noise(samples)) * (np.sin(9 * time) > -0.5)).astype(np.float32)


def reference(waveform: np.ndarray, layer: LogMelSpectrogram) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=layer.sample_rate,
        n_fft=layer.fft_length,
        win_length=layer.window_length,
        hop_length=layer.hop_length,
        n_mels=layer.mel_bins,
        fmin=layer.lowest_frequency,
        fmax=layer.highest_frequency,
    )
    levels = [librosa.power_to_db(row, top_db=layer.dynamic_range) for row in mel]
    return np.swapaxes(levels, 1, 2) * np.log(10) / 10


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("samples", [2100, 12_345])
def test_equals_librosa(settings, samples):
    layer = LogMelSpectrogram(**settings)
    waveform = np.stack([noise(samples), speech_like(samples, layer.sample_rate)])
    result = layer(waveform)
    np.testing.assert_allclose(result, reference(waveform, layer), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(waveform.shape) == result.shape


@pytest.mark.parametrize("samples", [1, 399])
@pytest.mark.filterwarnings("ignore:n_fft=512 is too large:UserWarning")
def test_a_clip_shorter_than_a_window_equals_librosa(samples):
    layer = LogMelSpectrogram()
    waveform = noise(1, samples)
    np.testing.assert_allclose(layer(waveform), reference(waveform, layer), rtol=1e-4)


def test_a_row_has_the_same_frames_alone_and_padded():
    layer = LogMelSpectrogram()
    lengths = np.array([16_000, 15_999, 4000, 161, 160, 159, 1, 0], np.int32)
    waveforms = noise(len(lengths), 16_000) * (np.arange(16_000) < lengths[:, np.newaxis])
    frames = layer.frames(tf.constant(lengths)).numpy()
    assert frames.tolist() == [101, 100, 26, 2, 2, 1, 1, 0]
    batch = layer(waveforms).numpy()
    for row, (length, count) in enumerate(zip(lengths[:-1], frames[:-1], strict=True)):
        alone = layer(waveforms[row : row + 1, :length]).numpy()[0]
        assert len(alone) == count
        np.testing.assert_allclose(alone, batch[row, :count], rtol=1e-5)


def test_silence_is_finite():
    result = LogMelSpectrogram()(np.zeros((1, 800), np.float32))
    np.testing.assert_allclose(result, np.full((1, 6, 80), np.log(1e-10)), rtol=1e-6)


def test_loudness_only_adds_a_constant():
    waveform = speech_like(8000, 16_000)
    loud, soft = LogMelSpectrogram()(np.stack([waveform, 0.1 * waveform])).numpy()
    np.testing.assert_allclose(loud - soft, np.full_like(loud, 2 * np.log(10)), atol=1e-3)


def test_half_precision_does_not_reach_the_spectrogram():
    waveform = noise(1, 1600)
    wanted = LogMelSpectrogram()(waveform)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        result = LogMelSpectrogram()(waveform)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_length": 513}, "window_length 513"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"fft_length": 511}, "even fft_length"),
        ({"highest_frequency": 8001.0}, "8000.0 Hz, half the sample rate"),
        ({"lowest_frequency": -1.0}, "from -1.0 to"),
        ({"mel_bins": 200}, "200 mel bins .* too many"),
        ({"mel_bins": 0}, "mel_bins is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LogMelSpectrogram(**settings)


def test_layers_are_saved_and_exported(tmp_path):
    waveform = keras.Input((None,))
    features = LogMelSpectrogram(mel_bins=20)(waveform)
    model = keras.Model(waveform, PerUtteranceNormalization()(features))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    signature = tf.function(
        lambda rows: {"features": model(rows)},
        input_signature=[tf.TensorSpec((None, None), tf.float32, name="waveform")],
        autograph=False,
    )
    module = tf.Module()
    module.serve, module.model = signature, model
    tf.saved_model.save(module, str(tmp_path / "served"), signatures=signature)
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    for samples in (800, 3210):
        rows = noise(3, samples)
        np.testing.assert_array_equal(loaded(rows), model(rows))
        np.testing.assert_allclose(served(waveform=rows)["features"], model(rows), atol=1e-5)


def test_normalization_equals_numpy():
    features = 5 * noise(3, 40, 6) - 3
    lengths = np.array([40, 17, 2])
    mask = np.arange(40) < lengths[:, np.newaxis]
    result = PerUtteranceNormalization()(features, mask=mask).numpy()
    for row, length in enumerate(lengths):
        own = features[row, :length]
        wanted = (own - own.mean(axis=0)) / np.sqrt(own.var(axis=0) + 0.01)
        np.testing.assert_allclose(result[row, :length], wanted, atol=1e-4)
    assert not result[~mask].any()
    without_mask = PerUtteranceNormalization()(features[:1])
    np.testing.assert_allclose(without_mask, result[:1], atol=1e-6)


def test_one_mean_for_all_features_equals_numpy():
    features = np.random.default_rng(0).normal(3, 2, (2, 40, 6)).astype(np.float32)
    mask = np.arange(40) < np.array([[40], [25]])
    result = PerUtteranceNormalization(per_feature=False)(features, mask=mask).numpy()
    for row, length in enumerate((40, 25)):
        own = features[row, :length]
        np.testing.assert_allclose(
            result[row, :length], (own - own.mean()) / np.sqrt(own.var() + 0.01), atol=1e-4
        )
        assert not result[row, length:].any()
    louder = PerUtteranceNormalization(per_feature=False)(features + 5, mask=mask).numpy()
    np.testing.assert_allclose(louder, result, atol=1e-4)


def test_padding_does_not_change_the_normalization():
    features = noise(1, 30, 4)
    padded = np.pad(features, ((0, 0), (0, 50), (0, 0)), constant_values=-23.0)
    mask = (np.arange(80) < 30)[np.newaxis]
    result = PerUtteranceNormalization()(padded, mask=mask)
    np.testing.assert_allclose(
        result[:, :30], PerUtteranceNormalization()(features), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("length", [0, 1, 50])
def test_rows_without_variance_become_zero(length):
    features = np.full((1, 50, 3), np.log(1e-10), np.float32)
    result = PerUtteranceNormalization()(features, mask=(np.arange(50) < length)[np.newaxis])
    np.testing.assert_allclose(result, np.zeros_like(features), atol=1e-2)
