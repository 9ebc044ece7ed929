import keras
import numpy as np
import pytest

from shared.layers.spec_augment import SpecAugment

FRAMES, MEL_BINS = 60, 20


def stripes(is_masked: np.ndarray) -> list[int]:
    """The widths of the runs of True in a bool vector."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_masked.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def draw(rows: int, lengths: np.ndarray | None = None, **settings: float) -> np.ndarray:
    keras.utils.set_random_seed(0)
    layer = SpecAugment(**settings)
    mask = None if lengths is None else np.arange(FRAMES) < lengths[:, np.newaxis]
    return layer(np.ones((rows, FRAMES, MEL_BINS), np.float32), mask=mask, training=True).numpy()


def test_acts_only_in_training():
    inputs = np.random.default_rng(0).normal(size=(2, FRAMES, MEL_BINS)).astype(np.float32)
    np.testing.assert_array_equal(SpecAugment()(inputs), inputs)
    augmented = SpecAugment()(inputs, training=True).numpy()
    assert (augmented != inputs).any() and augmented.shape == inputs.shape
    assert set(augmented[augmented != inputs]) == {0.0}


def test_frequency_stripes_cover_whole_bins_with_widths_drawn_evenly():
    masked = draw(3000, frequency_masks=1, frequency_width=7, time_masks=0) == 0
    assert (masked == masked[:, :1]).all()
    widths = [sum(stripes(row)) for row in masked[:, 0]]
    assert max(len(stripes(row)) for row in masked[:, 0]) == 1
    np.testing.assert_allclose(np.bincount(widths) / 3000, np.full(8, 1 / 8), atol=0.03)
    assert masked[:, 0, 0].any() and masked[:, 0, -1].any()


def test_time_stripes_stay_in_the_row_and_in_their_share():
    lengths = np.array([60, 31, 10, 4, 1, 0] * 50)
    settings = {"frequency_masks": 0, "time_masks": 1, "time_width": 9, "largest_time_share": 0.2}
    masked = draw(len(lengths), lengths, **settings) == 0
    assert (masked == masked[:, :, :1]).all()
    widths = np.array([sum(stripes(row)) for row in masked[:, :, 0]]).reshape(50, 6)
    assert widths.max(axis=0).tolist() == [9, 6, 2, 0, 0, 0]
    assert not masked[np.arange(FRAMES) >= lengths[:, np.newaxis]].any()
    reached = masked[lengths == 31].any(axis=0)[:, 0]
    assert reached[0] and reached[30]


def test_stripes_do_not_depend_on_padding():
    lengths = np.array([25, 25])
    settings = {"time_masks": 2, "time_width": 8, "frequency_masks": 1, "frequency_width": 5}
    padded = draw(2, lengths, **settings)
    keras.utils.set_random_seed(0)
    alone = SpecAugment(**settings)(np.ones((2, 25, MEL_BINS), np.float32), training=True)
    np.testing.assert_array_equal(alone, padded[:, :25])


def test_more_masks_than_bins_and_wider_ones_are_fine():
    assert not np.isnan(draw(4, frequency_masks=30, frequency_width=99, time_width=999)).any()


def test_seed_reproduces_and_rows_and_calls_differ():
    first, second = draw(8, frequency_width=8), draw(8, frequency_width=8)
    np.testing.assert_array_equal(first, second)
    assert len({row.tobytes() for row in first}) == 8
    layer = SpecAugment(frequency_width=8)
    inputs = np.ones((2, FRAMES, MEL_BINS), np.float32)
    calls = [layer(inputs, training=True).numpy().tobytes() for _ in range(3)]
    assert len(set(calls)) == 3


@pytest.mark.parametrize(
    "settings", [{"time_masks": -1}, {"frequency_width": -2}, {"largest_time_share": 1.5}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings.values()))}"):
        SpecAugment(**settings)


def test_layer_is_saved(tmp_path):
    inputs = keras.Input((None, MEL_BINS))
    model = keras.Model(inputs, SpecAugment(time_width=5, largest_time_share=0.1)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
