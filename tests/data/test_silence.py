from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.checks import by_name
from data.recordings import BACKGROUND_NOISE, Recording, group_recordings
from data.silence import add_silence, with_silence
from data.splits import DataError, Split, Splits, from_bytes

RATE = 1000


def write(path: Path, samples: np.ndarray) -> str:
    soundfile.write(path, samples.astype(np.int16), RATE)
    return str(path)


def read(split: Split, seed: int | None = None) -> list[bytes]:
    return [example["input"] for example in split.read(seed).as_numpy_iterator()]


@pytest.fixture
def noise(tmp_path) -> list[Recording]:
    """Two recordings of which each sample says where it is: 20 and 5 seconds."""
    parts = {"a": np.arange(20 * RATE), "b": -np.arange(1, 5 * RATE)}
    return [
        Recording(write(tmp_path / f"{name}.wav", samples), BACKGROUND_NOISE)
        for name, samples in parts.items()
    ]


def keywords(train: int, validation: int = 2, test: int = 2) -> Splits:
    sizes = {"train": train, "validation": validation, "test": test}
    found = [
        Recording("", ("yes", "no")[row % 2], split=name)
        for name, size in sizes.items()
        for row in range(size)
    ]
    inputs = from_bytes([b""] * len(found), [0] * len(found), ["x"] * len(found))
    labels, splits = group_recordings(found, "keywords", inputs=inputs)
    return Splits("set", labels, **splits)


def samples(content: bytes) -> np.ndarray:
    return np.frombuffer(content[44:], "<i2")


def test_silence_is_cut_from_stretches_of_noise_of_each_split(noise):
    splits = add_silence(keywords(200, 40, 40), noise, 0.25, seed=1)
    assert splits.labels == ("no", "yes", "silence")
    assert [split.size for split in by_name(splits).values()] == [250, 50, 50]
    heard = {}
    for name, split in by_name(splits).items():
        assert (split.labels[-split.size // 5 :] == 2).all()
        pieces = [samples(content) for content in read(split) if content]
        assert len(pieces) == split.size // 5
        assert all(
            500 <= len(piece) <= RATE and np.ptp(piece) == len(piece) - 1 for piece in pieces
        )
        heard[name] = set(np.concatenate(pieces).tolist())
    assert not heard["train"] & (heard["validation"] | heard["test"])
    assert not heard["validation"] & heard["test"]
    assert min(heard["train"]) < -RATE and max(heard["train"]) > 12 * RATE


def test_the_seed_fixes_what_is_silence(noise):
    def ids(seed: int) -> list[str]:
        splits = add_silence(keywords(40), noise, 0.5, seed)
        return splits.train.ids[-20:].tolist()

    assert ids(0) == ids(0) != ids(1)
    assert all("#t=" in name for name in ids(0))


def test_a_seed_mixes_silence_with_words(noise):
    _, split = with_silence(("no", "yes"), keywords(40).train, noise, 0.5)
    order = [bool(content) for content in read(split, 0)]
    assert Counter(order) == {False: 40, True: 20}
    assert 2 < sum(order[:20]) < 18


def test_without_noise_there_is_no_silence(noise):
    splits = keywords(4)
    assert add_silence(splits, [], 0.5).labels == ("no", "yes")
    assert add_silence(splits, noise, 0.0).train is splits.train


def test_short_noise_and_few_examples(tmp_path):
    short = [Recording(write(tmp_path / "a.wav", np.arange(300)), BACKGROUND_NOISE)]
    splits = add_silence(keywords(4), short, 0.1)
    for name, expected in (("train", 240), ("validation", 30), ("test", 30)):
        (piece,) = (samples(content) for content in read(getattr(splits, name)) if content)
        assert len(piece) == expected


def test_unreadable_noise(tmp_path, noise):
    missing = [Recording(str(tmp_path / f"{name}.wav"), BACKGROUND_NOISE) for name in "xy"]
    with pytest.raises(DataError, match="2 problems.*\n.*x.wav: .*\n.*y.wav: cannot be read"):
        with_silence(("a",), keywords(4).train, [*noise, *missing], 0.5)


def test_noise_without_samples(tmp_path, noise):
    empty = Recording(write(tmp_path / "empty.wav", np.zeros(0)), BACKGROUND_NOISE)
    with pytest.raises(DataError, match="empty.wav: noise without samples; remove it"):
        with_silence(("a",), keywords(4).train, [*noise, empty], 0.5)
