import os

import numpy as np
import pytest

import data
from data.audio import decode_wav
from tests.public_sets import needs

AN4 = os.environ.get("AN4", "")


def test_voice_commands():
    splits = data.load("voice_commands", kind="transcripts")
    parts = (splits.train, splits.validation, splits.test)
    assert min(part.size for part in parts) > 50
    speakers = [set(part.annotations["speakers"]) for part in parts]
    assert not speakers[0] & (speakers[1] | speakers[2])
    assert set(splits.labels) <= set(" '0123456789abcdefghijklmnopqrstuvwxyz")
    first = next(splits.test.read().as_numpy_iterator())
    read, sample_rate = decode_wav(first["input"])
    assert sample_rate == 16_000
    assert 0.5 < len(read) / sample_rate < 15


@needs("spoken_digit")
def test_spoken_digit():
    splits = data.load("spoken_digit", kind="keywords")
    assert splits.labels == tuple("0123456789")
    assert np.bincount(splits.test.labels).tolist() == [30] * 10
    assert (splits.train.size, splits.validation.size) == (2430, 270)


@pytest.mark.skipif(not AN4, reason="the environment variable AN4 names no folder")
def test_an4():
    splits = data.load(AN4, kind="transcripts")
    assert (splits.train.size + splits.validation.size, splits.test.size) == (948, 130)
    assert splits.labels == tuple(" abcdefghijklmnopqrstuvwxyz")
    (example,) = splits.test.take(np.array([0])).read().as_numpy_iterator()
    assert example["transcripts"] == b"enter two nine eight one"
    assert decode_wav(example["input"])[1] == 16_000
