"""Sound files of any format, as samples and as the bytes of a WAV file."""

from __future__ import annotations

import functools
import io
import os
import struct
import subprocess
import threading
from pathlib import Path

import numpy as np
import soundfile

from data.splits import DataError, Problem

# What a WAV file may hold so that it is passed on as it is; libsndfile decodes all else.
_PLAIN = {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
_WIDER_THAN_16_BITS = {"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"}
_FULL_SCALE = 2**15
_PCM, _IEEE_FLOAT = 1, 3

_decoding = threading.Lock()


def read_audio(
    path: str | Path, start: float = 0.0, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Reads a sound file of any format.

    What libsndfile does not know, such as AAC, is decoded by ffmpeg, if that is installed.

    Args:
        path: A sound file.
        start: Seconds before the first sample.
        end: Seconds before the sample behind the last; `None` is the end of the file.

    Returns:
        float32 `(time,)`, the mean of all channels, in [-1, 1]; and the sample rate in Hz.

    Raises:
        DataError: If the file cannot be read.
    """
    samples, sample_rate, _ = _read(os.fspath(path), start, end)
    return samples.mean(axis=1), sample_rate


def read_wav(path: str, start: float = 0.0, end: float | None = None) -> bytes:
    """Reads a sound file, or a part of one, as a WAV file.

    Args:
        path: A sound file.
        start: Seconds before the first sample.
        end: Seconds before the sample behind the last; `None` is the end of the file.

    Returns:
        A whole WAV file of plain samples byte by byte; all else decoded, at its own rate and with
        all its channels, as 16-bit integers, or as 32-bit floats where the file has more than 16
        bits. Nothing if the file cannot be read.
    """
    try:
        if start == 0 and end is None and _is_plain_wav(path):
            return Path(path).read_bytes()
        samples, sample_rate, is_wide = _read(path, start, end)
        return encode_wav(samples if is_wide else to_16_bits(samples), sample_rate)
    # A struct.error says that it is more than the 4 GiB of a WAV file.
    except (DataError, OSError, struct.error):
        return b""


def encode_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Writes a WAV file (Microsoft, "Multimedia Programming Interface and Data Specifications").

    Args:
        samples: int16 or float32 `(time, channels)`.
        sample_rate: Samples per second.

    Returns:
        The content of the file.
    """
    content = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    format_tag = _PCM if samples.dtype == np.int16 else _IEEE_FLOAT
    frame_bytes = samples.shape[1] * samples.itemsize
    description = struct.pack(
        "<HHIIHH",
        format_tag,
        samples.shape[1],
        sample_rate,
        sample_rate * frame_bytes,
        frame_bytes,
        8 * samples.itemsize,
    )
    chunks = _chunk(b"fmt ", description) + _chunk(b"data", content)
    return _chunk(b"RIFF", b"WAVE" + chunks)


def to_16_bits(samples: np.ndarray) -> np.ndarray:
    """Rounds floats in [-1, 1], and cuts off what 16 bits cannot hold; integers stay as they are.

    Args:
        samples: Floats or integers of any shape.

    Returns:
        int16 of the same shape.
    """
    scaled = samples if samples.dtype.kind in "iu" else np.rint(samples * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def decode_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Decodes what `read_wav` gives.

    Args:
        content: A WAV file.

    Returns:
        float32 `(time, channels)` in [-1, 1], and the sample rate in Hz.

    Raises:
        ValueError: If it is none.
    """
    try:
        return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string) from error


def seconds(path: str) -> float:
    """The duration of a sound file.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, TypeError):
        samples, sample_rate = _decode(path)
        return len(samples) / sample_rate


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _is_plain_wav(path: str) -> bool:
    try:
        found = soundfile.info(path)
    except (soundfile.LibsndfileError, TypeError):
        return False
    return found.format in ("WAV", "WAVEX") and found.subtype in _PLAIN


def _read(path: str, start: float, end: float | None) -> tuple[np.ndarray, int, bool]:
    """Gives float32 `(time, channels)`, the sample rate, and whether 16 bits would lose any."""
    try:
        with soundfile.SoundFile(path) as file:
            first, last = _frames(start, end, file.samplerate, file.frames)
            if first:
                file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
            return samples, file.samplerate, file.subtype in _WIDER_THAN_16_BITS
    # A TypeError asks for the sample rate of files named .raw.
    except (soundfile.LibsndfileError, TypeError):
        samples, sample_rate = _decode(path)
        first, last = _frames(start, end, sample_rate, len(samples))
        return samples[first:last].astype(np.float32) / _FULL_SCALE, sample_rate, False


def _frames(start: float, end: float | None, sample_rate: int, frames: int) -> tuple[int, int]:
    first = min(round(start * sample_rate), frames)
    last = frames if end is None else min(round(end * sample_rate), frames)
    return first, max(first, last)


def _decode(path: str) -> tuple[np.ndarray, int]:
    """Decodes a whole file once, not once for each of its parts and each thread."""
    with _decoding:
        return _decode_now(path)


@functools.lru_cache(maxsize=2)
def _decode_now(path: str) -> tuple[np.ndarray, int]:
    """Gives int16 `(time, channels)` and the sample rate."""
    # The header of an AU file may leave its length open, as a pipe must.
    command = ["ffmpeg", "-v", "error", "-i", f"file:{path}", "-f", "au", "-"]
    try:
        with open(path, "rb"):
            found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if found.returncode == 0:
            return soundfile.read(io.BytesIO(found.stdout), dtype="int16", always_2d=True)
        reason = found.stderr.decode(errors="replace").strip()
    except FileNotFoundError as error:
        is_missing = error.filename != "ffmpeg"
        reason = "no such file" if is_missing else "libsndfile does not know it; install ffmpeg"
    except (OSError, soundfile.LibsndfileError) as error:
        reason = str(error)
    raise DataError([Problem("error", path, f"cannot be read as sound: {reason}")])
