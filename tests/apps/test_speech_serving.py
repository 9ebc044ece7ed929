"""What a server answers: sound in any form in, transcripts or keywords out, and errors by row."""

import io
import struct

import numpy as np
import pytest
import soundfile

from shared.export.saved_model import SessionModel
from tests.made_up import PAUSE_SECONDS, SUNG_WORDS, WORD_SECONDS, sing

WORDS = ("ca", "ab", "bc")


def wave(samples: np.ndarray, rate: int, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype=subtype, format=container)
    return buffer.getvalue()


def with_rate(file: bytes, rate: int) -> bytes:
    return file[:24] + struct.pack("<I", rate) + file[28:]


GOOD = wave(sing(WORDS), 8000)
REFUSED = {
    "empty": b"",
    "header only": GOOD[:20],
    "text": b"turn on the light",
    "MP3 named .wav": b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(200),
    "FLAC": wave(sing(WORDS), 8000, container="FLAC"),
    "NaN samples": wave(np.full(4000, np.nan, np.float32), 8000, "FLOAT"),
    "0 Hz": with_rate(GOOD, 0),
    "10 minutes": wave(np.zeros(8000 * 600, np.float32), 8000, "PCM_U8"),
    "µ-law": wave(sing(WORDS), 8000, "ULAW"),
}


@pytest.fixture(scope="module")
def session_model(speech_run) -> SessionModel:
    return SessionModel(speech_run.model)


def test_words_with_their_times(speech_model) -> None:
    answer = speech_model.predict(audio_bytes=[GOOD])
    assert answer["transcript"][0] == b"ca ab bc"
    assert answer["error"][0] == b"" and answer["num_words"][0] == 3
    assert answer["words"][0].tolist() == [b"ca", b"ab", b"bc"]
    assert 0.5 < answer["confidence"][0] <= 1
    assert answer["seconds"][0] == pytest.approx(len(sing(WORDS)) / 8000)
    starts = PAUSE_SECONDS + (WORD_SECONDS + PAUSE_SECONDS) * np.arange(3)
    # A network sees the whole recording, and writes a word at some time while it lasts.
    middles = (answer["word_starts"][0] + answer["word_ends"][0]) / 2
    np.testing.assert_allclose(middles, starts + WORD_SECONDS / 2, atol=0.3)
    assert (np.diff(answer["word_starts"][0]) > 0).all()


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_the_rate_does_not_matter(speech_model, rate: int) -> None:
    answer = speech_model.predict(audio_bytes=[wave(sing(WORDS, rate), rate)])
    assert answer["transcript"][0] == b"ca ab bc"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_format_does_not_matter(speech_model, subtype: str) -> None:
    answer = speech_model.predict(audio_bytes=[wave(sing(WORDS), 8000, subtype)])
    assert answer["transcript"][0] == b"ca ab bc"


def test_eight_channels_at_96_khz(speech_model) -> None:
    samples = np.tile(sing(WORDS, 96_000)[:, None], (1, 8))
    answer = speech_model.predict(audio_bytes=[wave(samples, 96_000)])
    assert answer["transcript"][0] == b"ca ab bc"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_has_an_error(speech_model, name: str) -> None:
    answer = speech_model.predict(audio_bytes=[REFUSED[name]])
    code, _, reason = answer["error"][0].decode().partition(": ")
    assert code.islower() and reason
    assert answer["transcript"][0] == b"" and answer["confidence"][0] == 0
    assert answer["num_words"][0] == 0 and answer["seconds"][0] == 0


def test_silence_has_an_answer(speech_model) -> None:
    answer = speech_model.predict(audio_bytes=[wave(np.zeros(8000, np.float32), 8000)])
    assert answer["error"][0] == b"" and np.isfinite(answer["confidence"][0])


def test_a_bad_row_harms_no_other(speech_model, session_model) -> None:
    rows = [GOOD, *REFUSED.values(), wave(sing(["ab"], 16_000), 16_000), GOOD]
    alone = [speech_model.predict(audio_bytes=[row]) for row in rows]
    for model in (speech_model, session_model):
        together = model.predict(audio_bytes=rows)
        for name in ("transcript", "error", "num_words"):
            assert [one[name][0] for one in alone] == together[name].tolist()
        for name in ("confidence", "seconds"):
            wanted = [one[name][0] for one in alone]
            np.testing.assert_allclose(together[name], wanted, atol=1e-5)


def test_a_waveform_is_answered_as_its_file(speech_model) -> None:
    samples = sing(WORDS)
    padded = np.concatenate([samples, np.full(500, np.nan, np.float32)])[None]
    answer = speech_model.predict(
        "waveform",
        waveform=padded,
        length=np.array([len(samples)], np.int32),
        sample_rate=np.array([8000], np.int32),
    )
    file = speech_model.predict(audio_bytes=[wave(samples, 8000, "FLOAT")])
    assert answer["transcript"][0] == file["transcript"][0]
    np.testing.assert_allclose(answer["confidence"], file["confidence"], atol=1e-5)


@pytest.mark.parametrize(
    ("length", "rate", "value", "code"),
    [
        (0, 8000, 0.0, "empty"),
        (-5, 8000, 0.0, "empty"),
        (100, 0, 0.0, "invalid"),
        (100, -1, 0.0, "invalid"),
        (100, 8000, np.inf, "invalid"),
        (1000, 99, 0.0, "invalid"),
        (3000, 100, 0.0, "too_long"),
    ],
)
def test_a_bad_waveform_has_an_error(
    speech_model, length: int, rate: int, value: float, code: str
) -> None:
    answer = speech_model.predict(
        "waveform",
        waveform=np.full((1, 3000), value, np.float32),
        length=np.array([length], np.int32),
        sample_rate=np.array([rate], np.int32),
    )
    assert answer["error"][0].decode().partition(":")[0] == code
    assert answer["transcript"][0] == b""


def test_an_empty_batch(speech_model, keyword_model) -> None:
    for model in (speech_model, keyword_model):
        answer = model.predict(audio_bytes=np.array([], object))
        assert all(len(values) == 0 for values in answer.values())


def test_keywords(keyword_model) -> None:
    rows = [wave(sing([word], 16_000), 16_000) for word in SUNG_WORDS]
    answer = keyword_model.predict(audio_bytes=[*rows, b"no sound"])
    assert [label.decode() for label in answer["label"]] == [*SUNG_WORDS, ""]
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), [1, 1, 1, 0], atol=1e-5)
    assert answer["labels"].shape == (4, 3) and answer["error"][3] != b""
