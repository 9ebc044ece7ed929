import io
import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import audio
from data.audio import decode_wav, encode_wav, read_audio, read_wav, seconds, to_16_bits
from data.splits import DataError

RATE = 8000
GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.integers(-20_000, 20_000, (RATE // 2, 2), dtype=np.int16)
TONE = (10_000 * np.sin(np.arange(RATE) * 0.3)).astype(np.int16)


def write(path: Path, samples: np.ndarray, **options: str) -> str:
    soundfile.write(path, samples, RATE, **options)
    return str(path)


def stored(content: bytes) -> tuple[np.ndarray, int, str]:
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return file.read(dtype="float32", always_2d=True), file.samplerate, file.subtype


@pytest.mark.parametrize("layout", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_plain_wav_files_stay_as_they_are(tmp_path, layout, subtype):
    path = write(tmp_path / "a.wav", NOISE, format=layout, subtype=subtype)
    assert read_wav(path) == Path(path).read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "subtype"),
    [
        ("a.flac", {"subtype": "PCM_16"}, "PCM_16"),
        ("a.flac", {"subtype": "PCM_24"}, "FLOAT"),
        ("a.aiff", {"subtype": "PCM_32"}, "FLOAT"),
        ("a.wav", {"format": "RF64", "subtype": "PCM_16"}, "PCM_16"),
        ("a.wav", {"subtype": "ULAW"}, "PCM_16"),
        ("a.ogg", {"subtype": "VORBIS"}, "PCM_16"),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, "PCM_16"),
        ("mp3.wav", {"format": "MP3"}, "PCM_16"),
    ],
)
def test_other_formats_are_decoded_at_their_own_rate(tmp_path, name, options, subtype):
    path = write(tmp_path / name, NOISE, **options)
    samples, sample_rate, found = stored(read_wav(path))
    expected, _ = soundfile.read(path, dtype="float32")
    assert (sample_rate, found) == (RATE, subtype)
    if subtype == "PCM_16":
        expected = expected.clip(-1, 1 - 2**-15)
    np.testing.assert_allclose(samples, expected, atol=0.51 / 2**15)
    assert seconds(path) == len(expected) / RATE


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        (0.25, 0.75, slice(2000, 6000)),
        (0.5, None, slice(4000, None)),
        (0.0, 0.1, slice(0, 800)),
        (0.9, 5.0, slice(7200, None)),
        (3.0, 4.0, slice(0, 0)),
    ],
)
def test_parts_of_files(tmp_path, name, options, start, end, part):
    path = write(tmp_path / name, TONE, **options)
    whole, _, _ = stored(read_wav(path))
    samples, _, _ = stored(read_wav(path, start, end))
    assert samples.shape == whole[part].shape
    np.testing.assert_allclose(samples, whole[part], atol=2e-4)
    mono, sample_rate = read_audio(path, start, end)
    np.testing.assert_allclose(mono, samples[:, 0], atol=1e-4)
    assert (mono.dtype, mono.ndim, sample_rate) == (np.float32, 1, RATE)


def test_channels_are_averaged(tmp_path):
    path = write(tmp_path / "a.wav", NOISE)
    samples, _ = read_audio(Path(path))
    np.testing.assert_allclose(samples, NOISE.mean(axis=1) / 2**15, atol=1e-7)


@pytest.mark.parametrize("content", [None, b"", b"no sound", b"RIFF\x04\0\0\0WAVE", b"fLaC" * 9])
def test_what_cannot_be_read(tmp_path, content):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    assert read_wav(str(path)) == read_wav(str(path), 0.5) == b""
    for read in (read_audio, seconds):
        with pytest.raises(DataError, match="a.wav: cannot be read as sound: ."):
            read(str(path))


def test_more_than_a_wav_file_can_hold_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.flac", TONE)
    monkeypatch.setattr(audio, "_read", lambda *part: (np.zeros((1, 1)), 2**33, False))
    assert read_wav(path) == b""


def test_raw_samples_have_no_rate(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    assert read_wav(str(tmp_path / "a.raw")) == b""


def test_what_libsndfile_does_not_know_is_decoded_once(tmp_path, monkeypatch):
    """A script that writes the same sound for any file stands for ffmpeg."""
    sound = write(tmp_path / "sound.au", NOISE, format="AU", subtype="PCM_16")
    script = tmp_path / "ffmpeg"
    script.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\ncat {sound}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"....ftypM4A")
    for row in range(5):
        part, _, subtype = stored(read_wav(str(path), row / 10, (row + 1) / 10))
        np.testing.assert_array_equal(part * 2**15, NOISE[row * 800 : (row + 1) * 800])
        assert subtype == "PCM_16"
    assert seconds(str(path)) == 0.5
    assert (tmp_path / "calls").read_text() == f"-v error -i file:{path} -f au -\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "libsndfile does not know it; install ffmpeg"),
        ("#!/bin/sh\necho moov atom not found >&2\nexit 1\n", "moov atom not found"),
        ("#!/bin/sh\necho nothing\n", "Error opening .*Format not recognised"),
    ],
)
def test_what_ffmpeg_does_not_know_either(tmp_path, monkeypatch, script, reason):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "ffmpeg").write_text(script)
        (tmp_path / "ffmpeg").chmod(0o755)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"....ftypM4A")
    with pytest.raises(DataError, match=f"a.m4a: cannot be read as sound: {reason}"):
        read_audio(path)
    assert read_wav(str(path)) == b""


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_aac(tmp_path):
    sound = write(tmp_path / "a.wav", TONE)
    path = tmp_path / "a.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-i", sound, path], check=True)
    samples, sample_rate = read_audio(path)
    assert sample_rate == RATE
    assert abs(len(samples) - RATE) < 3000
    assert 0.2 < np.abs(samples).max() < 0.4


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_written_wav_files(dtype, size):
    samples = np.zeros((size, 3), dtype)
    samples[: size // 2] = 1
    content = encode_wav(samples, RATE)
    read, sample_rate = soundfile.read(io.BytesIO(content), dtype=samples.dtype, always_2d=True)
    np.testing.assert_array_equal(read, samples)
    assert (sample_rate, len(content) % 2) == (RATE, 0)
    decoded, _ = decode_wav(content)
    assert (decoded.dtype, decoded.shape) == (np.float32, (size, 3))


def test_the_standard_library_reads_what_is_written():
    with wave.open(io.BytesIO(encode_wav(NOISE, RATE))) as file:
        assert file.getparams()[:4] == (2, 2, RATE, len(NOISE))
        assert file.readframes(len(NOISE)) == NOISE.tobytes()


def test_rounding_to_16_bits():
    floats = np.array([-2, -1, -0.5 / 2**15, 0.7 / 2**15, 0.5, 1, 2])
    expected = np.array([-(2**15), -(2**15), 0, 1, 2**14, 2**15 - 1, 2**15 - 1], np.int16)
    np.testing.assert_array_equal(to_16_bits(floats), expected)
    np.testing.assert_array_equal(to_16_bits(expected.astype(np.int64)), expected)
    assert to_16_bits(np.array([40_000])) == 2**15 - 1


@given(
    content=st.one_of(
        st.binary(),
        st.builds(
            lambda at, byte: WAV[:at] + byte + WAV[at + 1 :],
            st.integers(0, 60),
            st.binary(min_size=1, max_size=1),
        ),
        st.builds(lambda size: WAV[:size], st.integers(0, 100)),
    )
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_files_raise_nothing(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    for whole_or_part in (read_wav(str(path)), read_wav(str(path), 0.01)):
        assert whole_or_part[:4] in (b"", b"RIFF")


WAV = encode_wav(TONE[:200, None], RATE)
