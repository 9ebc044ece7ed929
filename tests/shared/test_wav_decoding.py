import base64
import io
import re
import struct
from collections.abc import Iterable

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.layers.wav_decoding import decode_wav

FRAMES = 500
SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def waveform(channels: int = 1, frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (frames, channels))


def encode(subtype: str, channels: int = 1, container: str = "WAV", frames: int = FRAMES) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform(channels, frames), 11_025, subtype, format=container)
    return buffer.getvalue()


def reference(audio_bytes: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(audio_bytes), dtype="float64", always_2d=True)
    return samples.mean(axis=1)


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    padding = bytes(len(data) % 2)
    return name + struct.pack("<I", len(data) if size is None else size) + data + padding


def fmt(
    tag: int = PCM, channels: int = 1, rate: int = 16_000, bits: int = 16, align: int | None = None
) -> bytes:
    align = channels * bits // 8 if align is None else align
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits))


def extensible(subformat: int, bits: int, tail: bytes = GUID_TAIL) -> bytes:
    fields = struct.pack("<HHIIHHHHI", EXTENSIBLE, 1, 16_000, 0, bits // 8, bits, 22, bits, 0)
    return chunk(b"fmt ", fields + struct.pack("<H", subformat) + tail)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


SAMPLES = np.arange(-50, 50, dtype="<i2") * 300
DATA = SAMPLES.tobytes()
LIST = chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")
GOOD = riff(fmt(), chunk(b"data", DATA))


def decode(*files: bytes, longest_seconds: float = 600.0) -> tuple[list, list[str], list[int]]:
    """Each row's own samples, its error and its rate."""
    result = decode_wav(tf.constant(files), longest_seconds)
    lengths, samples = result.lengths.numpy(), result.samples.numpy()
    assert len(samples) == len(files)
    assert not samples[np.arange(samples.shape[1]) >= lengths[:, np.newaxis]].any()
    errors = [error.decode() for error in result.errors.numpy()]
    assert [bool(error) for error in errors] == (lengths == 0).tolist()
    assert (result.sample_rates.numpy()[lengths == 0] == 0).all()
    rows = [row[:length] for row, length in zip(samples, lengths, strict=True)]
    return rows, errors, result.sample_rates.numpy().tolist()


def decode_one(audio_bytes: bytes) -> np.ndarray:
    rows, errors, _ = decode(audio_bytes)
    assert errors == [""]
    return rows[0]


def error_of(audio_bytes: bytes, **options: float) -> str:
    return decode(audio_bytes, **options)[1][0]


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_equals_soundfile(subtype, channels, container):
    audio_bytes = encode(subtype, channels, container)
    np.testing.assert_allclose(decode_one(audio_bytes), reference(audio_bytes), atol=1e-7)
    assert decode(audio_bytes)[2] == [11_025]


ALL_FORMS = [encode(name, channels) for name in SUBTYPES for channels in (1, 3)]
ALL_FORMS += [encode("PCM_24", frames=7)]
COMMON_FORM = [encode("PCM_16", frames=frames) for frames in (1, 7, FRAMES)]
BAD = [b"", GOOD, encode("ULAW"), encode("PCM_24", frames=0), b"RIFF"]


@pytest.mark.parametrize("files", [ALL_FORMS + BAD, COMMON_FORM + BAD, BAD], ids=len)
def test_a_row_alone_equals_the_row_in_a_batch(files):
    rows, errors, rates = decode(*files)
    for file, row, error, rate in zip(files, rows, errors, rates, strict=True):
        alone, (alone_error,), (alone_rate,) = decode(file)
        np.testing.assert_array_equal(alone[0], row)
        assert (alone_error, alone_rate) == (error, rate)


@pytest.mark.parametrize(
    "audio_bytes",
    [
        riff(LIST, fmt(), chunk(b"data", DATA)),
        riff(fmt(), LIST, chunk(b"fact", bytes(4)), chunk(b"data", DATA), LIST),
        riff(chunk(b"odd!", b"\1\2\3"), fmt(), chunk(b"data", DATA)),
        riff(chunk(b"data", DATA), fmt()),
        riff(extensible(PCM, 16), chunk(b"data", DATA)),
        riff(fmt(), chunk(b"data", DATA), fmt(bits=8), chunk(b"data", b"another")),
        riff(*[chunk(b"JUNK", b"") for _ in range(200)], fmt(), chunk(b"data", DATA)),
        riff(fmt(), chunk(b"data", DATA), size=0),
        riff(fmt(), chunk(b"data", DATA), size=2**32 - 1),
        riff(fmt(), chunk(b"data", DATA, size=2**32 - 1), size=2**32 - 1),
        riff(fmt(), chunk(b"data", DATA, size=0), size=0),
        riff(fmt(), chunk(b"data", DATA, size=0), size=2**32 - 1),
        riff(fmt(), chunk(b"data", DATA, size=0), size=36),
        riff(fmt(), chunk(b"data", DATA, size=10 * len(DATA))),
        riff(fmt(), chunk(b"data", DATA + b"x", size=len(DATA) + 1)),
        riff(fmt(), chunk(b"data", DATA, size=0x7FFFF000), size=0x7FFFF024),
    ],
)
def test_chunks_and_sizes_as_programs_write_them(audio_bytes):
    np.testing.assert_array_equal(decode_one(audio_bytes), SAMPLES / np.float32(2**15))


def test_12_bits_lie_in_the_upper_part_of_16():
    audio_bytes = riff(fmt(bits=12, align=2), chunk(b"data", DATA))
    np.testing.assert_array_equal(decode_one(audio_bytes), SAMPLES / np.float32(2**15))


def test_data_cut_short_keep_their_whole_frames():
    audio_bytes = encode("PCM_24", 2)
    whole = decode_one(audio_bytes)
    for missing in (1, 5, 6, 7, 2000):
        np.testing.assert_array_equal(
            decode_one(audio_bytes[:-missing]), whole[: FRAMES - -(-missing // 6)]
        )


def test_silence_and_floats_beyond_full_scale_are_audio():
    assert not decode_one(riff(fmt(), chunk(b"data", bytes(200)))).any()
    loud = np.array([3.5, -32_768, 0], "<f4")
    audio_bytes = riff(fmt(FLOAT, bits=32), chunk(b"data", loud.tobytes()))
    np.testing.assert_array_equal(decode_one(audio_bytes), loud)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize(("dtype", "bits"), [("<f4", 32), ("<f8", 64)])
def test_samples_that_are_no_numbers_are_refused(value, dtype, bits):
    samples = np.array([0.5, value, 0.5], dtype).tobytes()
    bad = riff(fmt(FLOAT, bits=bits), chunk(b"data", samples))
    rows, errors, _ = decode(GOOD, bad, GOOD)
    assert errors[1].startswith("corrupt: ") and errors[0] == errors[2] == ""
    np.testing.assert_array_equal(rows[2], SAMPLES / np.float32(2**15))


@pytest.mark.parametrize(
    ("audio_bytes", "error"),
    [
        (b"", "empty: the file has no bytes"),
        (riff(fmt(), chunk(b"data", b"")), "empty: the file has no samples"),
        (riff(fmt(), chunk(b"data", b""), LIST), "empty: the file has no samples"),
        (riff(fmt(), chunk(b"data", b"\1")), "empty: the file has no samples"),
        (GOOD[:11], "unsupported: the file looks like no known audio format; send WAV"),
        (GOOD[:12], "corrupt: no fmt chunk in the file's 12 bytes"),
        (GOOD[:35], "corrupt: no fmt chunk in the file's 35 bytes"),
        (GOOD[:36], "corrupt: no data chunk in the file's 36 bytes"),
        (riff(chunk(b"fmt ", bytes(14)), chunk(b"data", DATA)), "corrupt: no fmt chunk"),
        (riff(*[LIST] * 2000, fmt(), chunk(b"data", DATA)), "corrupt: no fmt chunk"),
        (riff(fmt(rate=0), chunk(b"data", DATA)), "corrupt: the header claims 1 channels .* 0 Hz"),
        (riff(fmt(channels=0), chunk(b"data", DATA)), "corrupt: the header claims 0 channels"),
        (riff(fmt(align=3), chunk(b"data", DATA)), "corrupt: .* 16 bits in 3 bytes"),
        (riff(fmt(align=0), chunk(b"data", DATA)), "corrupt: .* 16 bits in 0 bytes"),
        (riff(fmt(rate=768_001), chunk(b"data", DATA)), "unsupported: .* 768001 Hz"),
        (riff(fmt(rate=99), chunk(b"data", DATA)), "unsupported: .* 99 Hz; expected 100 to 768000"),
        (riff(fmt(bits=64), chunk(b"data", DATA)), "unsupported: .* PCM of 64 bits"),
        (riff(fmt(bits=0), chunk(b"data", DATA)), "unsupported: .* PCM of 0 bits"),
        (riff(fmt(FLOAT, bits=16), chunk(b"data", DATA)), "unsupported: .* float of 16 bits"),
        (riff(extensible(7, 8), chunk(b"data", DATA)), "unsupported: .* mu-law"),
        (riff(extensible(1, 16, bytes(14)), chunk(b"data", DATA)), "unsupported: .*sub-format"),
        (riff(fmt(0x1234), chunk(b"data", DATA)), "unsupported: .* format 4660"),
        (encode("ULAW"), "unsupported: .* mu-law of 8 bits; send PCM"),
        (encode("ALAW"), "unsupported: .* A-law of 8 bits"),
        (encode("MS_ADPCM"), "unsupported: .* Microsoft ADPCM"),
        (encode("IMA_ADPCM"), "unsupported: .* IMA ADPCM"),
        (encode("GSM610"), "unsupported: .* GSM 6.10"),
        (encode("PCM_16", container="RF64"), "unsupported: .* RF64"),
        (encode("PCM_16", container="W64"), "unsupported: .* Wave64"),
        (encode("PCM_16", container="FLAC"), "unsupported: .* FLAC; send WAV"),
        (encode("VORBIS", container="OGG"), "unsupported: .* Ogg"),
        (encode("MPEG_LAYER_III", container="MP3"), "unsupported: .* MP3"),
        (encode("PCM_16", container="AIFF"), "unsupported: .* AIFF"),
        (encode("PCM_16", container="AU"), "unsupported: .* AU"),
        (encode("PCM_16", container="NIST"), "unsupported: .* NIST SPHERE"),
        (encode("PCM_16", container="CAF"), "unsupported: .* Core Audio"),
        (b"RIFX" + GOOD[4:], "unsupported: .* RIFX"),
        (b"ID3\x04" + bytes(100), "unsupported: .* MP3"),
        (b"\0\0\0\x20ftypM4A ", "unsupported: .* M4A"),
        (b"<!DOCTYPE html>", "unsupported: .* HTML"),
        (base64.b64encode(GOOD), "unsupported: .* base64"),
    ],
    # Ogg files have a random number in them, and every process must find the same names.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_say_what_is_wrong(audio_bytes, error):
    rows, errors, _ = decode(GOOD, audio_bytes)
    assert errors[0] == "" and len(rows[0]) == len(SAMPLES)
    assert re.match(error, errors[1])


def test_the_limit_on_the_length_is_inclusive():
    second = riff(fmt(rate=100), chunk(b"data", DATA))
    assert error_of(second, longest_seconds=1.0) == ""
    error = error_of(second, longest_seconds=0.99)
    assert error == "too_long: 1.0 seconds of audio, the limit is 1.0"


def every_cut(audio_bytes: bytes) -> Iterable[bytes]:
    return (audio_bytes[:length] for length in range(len(audio_bytes)))


@pytest.mark.parametrize("audio_bytes", [GOOD, riff(LIST, extensible(FLOAT, 32), b"data")])
def test_a_file_cut_anywhere_is_decoded_or_refused(audio_bytes):
    rows, errors, _ = decode(*every_cut(audio_bytes), GOOD)
    assert errors[-1] == "" and len(rows[-1]) == len(SAMPLES)
    assert errors[0].startswith("empty")
    assert all(
        error.partition(":")[0] in ("", "empty", "corrupt", "unsupported") for error in errors
    )


HEADERS = [GOOD[:44], riff(extensible(FLOAT, 32), b"data"), riff(LIST, fmt(bits=24), b"data")]


@settings(max_examples=100, deadline=None)
@given(
    header=st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVE", *HEADERS]),
    rest=st.binary(max_size=100),
    changes=st.dictionaries(st.integers(0, 60), st.binary(min_size=1, max_size=4), max_size=4),
)
def test_no_bytes_raise_nor_spoil_other_rows(header, rest, changes):
    changed = bytearray(header + rest)
    for position, value in changes.items():
        changed[position : position + len(value)] = value
    rows, errors, _ = decode(GOOD, bytes(changed), GOOD)
    assert errors[0] == errors[2] == ""
    np.testing.assert_array_equal(rows[0], rows[2])
    alone, alone_errors, _ = decode(bytes(changed))
    np.testing.assert_array_equal(alone[0], rows[1])
    assert alone_errors[0] == errors[1]


class Decoder(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="audio_bytes")])
    def serve(self, audio_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return decode_wav(audio_bytes, 1.0)._asdict()


def test_eager_pipeline_and_signature_are_equal(tmp_path):
    files = [encode("PCM_24", 2), b"no audio", encode("FLOAT"), GOOD]
    eager = decode_wav(tf.constant(files), 1.0)._asdict()
    pipeline = tf.data.Dataset.from_tensors(files).map(lambda rows: decode_wav(rows, 1.0))
    (mapped,) = pipeline.as_numpy_iterator()
    module = Decoder()
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    served = signature(audio_bytes=tf.constant(files))
    for name, value in eager.items():
        np.testing.assert_array_equal(mapped._asdict()[name], value)
        np.testing.assert_array_equal(served[name], value)
