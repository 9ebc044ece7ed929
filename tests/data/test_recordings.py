from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from data import recordings
from data.audio import encode_wav
from data.recordings import (
    BACKGROUND_NOISE,
    Recording,
    RecordingFields,
    characters,
    group_recordings,
    normalize_transcript,
    place,
)
from data.splits import Split, from_bytes

RATE = 1000


def word(text: str, split: str = "train", speaker: str = "") -> Recording:
    return Recording(f"{text}.wav", text, split=split, speaker=speaker)


def write(path: Path, samples: np.ndarray) -> str:
    soundfile.write(path, samples.astype(np.int16), RATE)
    return str(path)


def read(split: Split, seed: int | None = None) -> list[bytes]:
    return [example["input"] for example in split.read(seed).as_numpy_iterator()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ENTER TWO", "enter two"),
        (" Don't\tSTOP -- now!\n", "don't stop now"),
        ("rock\u2019n\u02bcroll", "rock'n'roll"),
        ("\u201cTwenty-one\u201d, he_said: $5 + \u20ac3\u2026", "twenty one he said 5 3"),
        ("E\u0301te\u0301 \u212b", "été å"),
        ("\u0928\u092e\u0938\u094d\u0924\u0947 \u4f60\u597d\u3002", "नमस्ते 你好"),
        ("a\0b\x1fc", "a b c"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_transcripts_are_normalised(text, expected):
    assert normalize_transcript(text) == expected


@given(st.text())
def test_normalised_transcripts_stay_as_they_are(text):
    once = normalize_transcript(text)
    assert normalize_transcript(once) == once == " ".join(once.split())


@pytest.mark.parametrize(
    ("part", "expected"),
    [((), "a.wav"), ((1.5,), "a.wav#t=1.5"), ((0.0, 2.0), "a.wav#t=0,2")],
)
def test_parts_of_files_are_named_by_time(part, expected):
    assert place("a.wav", *part) == expected


def test_columns_are_guessed_or_named():
    assert RecordingFields().text_columns("keywords")[0] == "label"
    assert RecordingFields().text_columns("transcripts")[0] == "text"
    assert RecordingFields(text=" Said ").text_columns("keywords") == ("Said",)
    assert RecordingFields(speaker="who").speaker_columns == ("who",)


def test_transcripts():
    found = [word("Été, now", speaker="ann"), word("I'm", "test"), word("noon"), word("ß", "train")]
    labels, splits = group_recordings(found, "transcripts")
    assert labels == (" ", "n", "o", "t", "w", "ß", "é")
    train, test = splits["train"], splits["test"]
    assert train.annotations["transcripts"].tolist() == ["été now".encode(), b"noon", "ß".encode()]
    assert train.annotations["speakers"].tolist() == [b"ann", b"", b""]
    assert test.annotations["transcripts"].tolist() == [b"i'm"]
    assert characters(test) == ("'", "i", "m")
    assert train.labels.tolist() == [0, 0, 0]
    assert train.ids.tolist() == ["Été, now.wav", "noon.wav", "ß.wav"]


def test_words_are_classes_in_alphabetical_order():
    texts = ("yes", "_silence_", "no", "unknown", "Maybe", BACKGROUND_NOISE)
    labels, splits = group_recordings([word(text) for text in texts], "keywords")
    assert labels == ("Maybe", "no", "yes", "unknown", "silence")
    assert [labels[label] for label in splits["train"].labels] == [
        "yes", "silence", "no", "unknown", "Maybe",
    ]  # fmt: skip
    assert "transcripts" not in splits["train"].annotations


def test_other_words_are_unknown_and_as_many_as_a_keyword_has():
    counts = {
        "train": {"yes": 6, "no": 3, "cat": 20, "dog": 20},
        "test": {"yes": 2, "no": 2, "cat": 1},
        "validation": {"cat": 4},
    }
    found = [
        word(text, split)
        for split, group in counts.items()
        for text, count in group.items()
        for _ in range(count)
    ]
    inputs = from_bytes([b"%d" % row for row in range(len(found))], [0] * len(found), ["x"] * 58)
    drawn = [
        group_recordings(found, "keywords", keywords=["yes", "no"], seed=seed, inputs=inputs)
        for seed in (0, 0, 1)
    ]
    labels, splits = drawn[0]
    assert labels == ("no", "yes", "unknown")
    sizes = {name: np.bincount(split.labels).tolist() for name, split in splits.items()}
    assert sizes == {"train": [3, 6, 5], "test": [2, 2, 1], "validation": [0, 0, 4]}
    first, again, other = (read(splits["train"]) for _, splits in drawn)
    assert first == again != other
    for split in splits.values():
        for content, label in zip(read(split), split.labels, strict=True):
            text = found[int(content)].text
            assert labels[label] == (text if text in ("yes", "no") else "unknown")


def test_files_are_read_in_any_order(tmp_path):
    paths = [write(tmp_path / f"{row}.wav", np.full(10 + row, row)) for row in range(30)]
    found = [Recording(path, "word") for path in paths]
    found += [Recording(paths[20], "word", 0.005, 0.01), Recording("nowhere", "word")]
    split = group_recordings(found, "transcripts")[1]["train"]
    expected = [Path(path).read_bytes() for path in paths]
    expected += [encode_wav(np.full((5, 1), 20, np.int16), RATE), b""]
    assert read(split) == expected
    assert read(split, 3) == read(split, 3) != expected
    assert sorted(read(split, 3)) == sorted(expected)
    assert read(split.take(np.array([31, 4]))) == [expected[4], b""]
    assert read(split.take(np.array([], dtype=np.int64))) == []


@pytest.mark.parametrize(("room", "times"), [(2**28, 1), (64 * 3, 2), (0, 2)])
def test_what_is_decoded_is_kept_while_there_is_room(monkeypatch, room, times):
    opened = []

    def read_wav(path: str, start: float, end: float | None) -> bytes:
        opened.append(path)
        return b"x" * 64

    monkeypatch.setattr(recordings, "read_wav", read_wav)
    monkeypatch.setattr(recordings, "_KEPT_BYTES", room)
    split = group_recordings([word(f"{row}") for row in range(9)], "transcripts")[1]["train"]
    assert read(split) == read(split, 1) == [b"x" * 64] * 9
    assert len(opened) == 9 * times - (3 if room == 64 * 3 else 0)
