import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.image_recognition.preprocess import ImagePreprocess, thumbnail

PICTURES = np.random.default_rng(0).integers(0, 200, (12, 20, 30, 3), np.uint8)
LUMA = np.array([0.2989, 0.587, 0.114])


def adapted(height: int = 8, width: int = 8, channels: int = 3, fit: str = "crop"):
    preprocess = ImagePreprocess(height, width, channels, fit)
    preprocess.adapt(tf.data.Dataset.from_tensor_slices(PICTURES).batch(1))
    return preprocess


def plain(height: int, width: int, channels: int = 3, fit: str = "stretch"):
    """Not adapted: mean 0, variance 1, so that pixel values come through."""
    return ImagePreprocess(height, width, channels, fit)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_adapted_channels_have_mean_0_and_variance_1(channels, fit):
    outputs = adapted(channels=channels, fit=fit)(PICTURES).numpy()
    assert outputs.shape == (12, 8, 8, channels) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.var(axis=(0, 1, 2)), 1, atol=1e-3)


def test_pictures_of_several_sizes_are_adapted_to_together():
    small, large = PICTURES[:4], PICTURES[4:].repeat(2, axis=1)
    pictures = [*small, *large]
    spec = tf.TensorSpec((1, None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(
        lambda: (picture[None] for picture in pictures), output_signature=spec
    )
    preprocess = ImagePreprocess(8, 8, 3)
    preprocess.adapt(dataset)
    outputs = np.concatenate([preprocess(picture[None]) for picture in pictures])
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.var(axis=(0, 1, 2)), 1, atol=1e-3)


def test_statistics_are_those_of_the_resized_pictures():
    resized = plain(8, 8, fit="crop")(PICTURES).numpy()
    mean, deviation = adapted().statistics()
    np.testing.assert_allclose(mean, resized.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(deviation, resized.std(axis=(0, 1, 2)), rtol=1e-3)


def test_pictures_without_variation_stay_finite():
    black = np.zeros((3, 8, 8, 1), np.uint8)
    preprocess = ImagePreprocess(8, 8, 1)
    preprocess.adapt(tf.data.Dataset.from_tensors(black))
    np.testing.assert_array_equal(preprocess(black), np.zeros((3, 8, 8, 1)))
    assert np.all(np.isfinite(preprocess(PICTURES)))


def test_pictures_of_the_right_size_keep_their_pixels():
    np.testing.assert_allclose(plain(20, 30)(PICTURES), PICTURES, atol=1e-3)


def test_colour_becomes_grey_by_its_brightness():
    outputs = plain(20, 30, channels=1)(PICTURES).numpy()
    np.testing.assert_allclose(outputs[..., 0], PICTURES @ LUMA, atol=0.1)


def test_grey_becomes_three_equal_channels():
    grey = PICTURES[..., :1]
    outputs = plain(20, 30)(grey).numpy()
    np.testing.assert_allclose(outputs, np.repeat(grey, 3, axis=-1), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_the_same_with_one_channel_and_with_three(channels):
    preprocess = adapted(channels=channels)
    grey = PICTURES[..., :1]
    three = np.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(preprocess(grey), preprocess(three), atol=1e-5)


def stripes() -> np.ndarray:
    """A wide picture: left third 0, middle 100, right 200; `(1, 8, 24, 3)`."""
    row = np.repeat(np.array([0, 100, 200], np.uint8), 8)
    return np.broadcast_to(row[None, None, :, None], (1, 8, 24, 3))


def test_crop_keeps_the_middle():
    np.testing.assert_allclose(plain(8, 8, fit="crop")(stripes()), 100, atol=1e-3)


def test_pad_keeps_everything_and_adds_black():
    outputs = plain(24, 24, fit="pad")(stripes()).numpy()[0, ..., 0]
    np.testing.assert_allclose(outputs[8:16], stripes()[0, ..., 0], atol=1e-3)
    np.testing.assert_array_equal(outputs[:8], 0)
    np.testing.assert_array_equal(outputs[16:], 0)


def test_stretch_keeps_everything_and_adds_nothing():
    outputs = plain(8, 12, fit="stretch")(stripes()).numpy()[0, ..., 0]
    np.testing.assert_allclose(outputs[:, [0, 5, 6, 11]], [[0, 100, 100, 200]] * 8, atol=1)


def test_fine_patterns_are_averaged_and_not_picked():
    """Without antialiasing every second pixel of a checkerboard would be left."""
    rows, columns = np.indices((64, 64))
    board = ((rows + columns) % 2 * 200).astype(np.uint8)[None, ..., None]
    outputs = plain(8, 8, channels=1)(board).numpy()
    np.testing.assert_allclose(outputs, 100, atol=5)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 9), (300, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_size_become_the_same_size(fit, size, channels):
    pictures = np.full((2, *size, channels), 77, np.uint8)
    outputs = plain(6, 10, fit=fit)(pictures).numpy()
    assert outputs.shape == (2, 6, 10, 3)
    assert outputs.max() < 77.01
    if fit == "pad":  # A line of one pixel fades into its black margins.
        assert outputs.min() > -1e-3 and np.all(outputs.max(axis=(1, 2, 3)) > 1)
    else:
        assert outputs.min() > 76.99


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eager_pipeline_and_graph_agree(fit, channels):
    preprocess = adapted(channels=channels, fit=fit)
    expected = preprocess(PICTURES).numpy()
    dataset = tf.data.Dataset.from_tensor_slices(PICTURES)
    mapped = dataset.map(lambda picture: preprocess(picture[None])[0])
    np.testing.assert_allclose(list(mapped.as_numpy_iterator()), expected, atol=1e-5)
    batched = dataset.batch(5).map(preprocess)
    piped = np.concatenate(list(batched.as_numpy_iterator()))
    np.testing.assert_allclose(piped, expected, atol=1e-5)
    specs = [tf.TensorSpec((None, None, None, None), tf.uint8)]
    function = tf.function(preprocess.call, input_signature=specs)
    np.testing.assert_allclose(function(PICTURES), expected, atol=1e-5)
    np.testing.assert_allclose(function(PICTURES[:1]), expected[:1], atol=1e-5)


def test_an_empty_batch():
    outputs = adapted()(np.zeros((0, 5, 5, 3), np.uint8))
    assert outputs.shape == (0, 8, 8, 3)


def test_the_output_shape_is_known_in_advance():
    preprocess = ImagePreprocess(6, 10, 1)
    assert preprocess.compute_output_shape((None, None, None, 3)) == (None, 6, 10, 1)
    assert preprocess(PICTURES).shape[1:] == (6, 10, 1)


def test_configuration_and_weights_go_round():
    preprocess = adapted(6, 10, 1, "pad")
    config = preprocess.get_config()
    assert (config["height"], config["width"], config["channels"]) == (6, 10, 1)
    assert config["fit"] == "pad"
    copy = ImagePreprocess.from_config(config)
    copy.standardize.set_weights(preprocess.standardize.get_weights())
    copy.standardize.finalize_state()
    np.testing.assert_allclose(copy(PICTURES), preprocess(PICTURES), atol=1e-6)
    described = keras.saving.serialize_keras_object(preprocess)
    assert isinstance(keras.saving.deserialize_keras_object(described), ImagePreprocess)


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 30), (40, 30)), ((400, 200), (160, 80)), ((3, 500), (1, 160))]
)
def test_thumbnails_are_small_and_keep_their_shape(size, expected):
    file = tf.io.encode_png(np.full((*size, 1), 90, np.uint8)).numpy()
    pixels = tf.io.decode_png(thumbnail(file)).numpy()
    assert pixels.shape == (*expected, 3)
    np.testing.assert_allclose(pixels.astype(int), 90, atol=1)
