from pathlib import Path

import pytest

from data.readers.recordings import read_path
from data.recordings import Recording, RecordingFields
from data.splits import DataError

GUESSED = RecordingFields()


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def test_folders_of_words(tmp_path):
    write(tmp_path, "yes/b.wav", "no/a.FLAC", "no/more/c.m4a", ".git/x.wav", "yes/.e.wav")
    recordings, problems = read_path(tmp_path, "keywords", GUESSED)
    root = str(tmp_path)
    assert recordings == [
        Recording(f"{root}/no/a.FLAC", "no", where=f"{root}/no/a.FLAC"),
        Recording(f"{root}/no/more/c.m4a", "no", where=f"{root}/no/more/c.m4a"),
        Recording(f"{root}/yes/b.wav", "yes", where=f"{root}/yes/b.wav"),
    ]
    assert problems == []


def test_the_layout_of_speech_commands(tmp_path):
    write(
        tmp_path,
        *("yes/0a_nohash_0.wav", "yes/0a_nohash_1.wav", "yes/1b_nohash_0.wav"),
        *("no/0a_nohash_0.wav", "no/2c_nohash_0.wav", "no/own.wav"),
        *("_background_noise_/tap.wav", "_background_noise_/README.md", "LICENSE"),
    )
    (tmp_path / "validation_list.txt").write_text("yes/1b_nohash_0.wav\r\n\n")
    (tmp_path / "testing_list.txt").write_text("no/2c_nohash_0.wav\nno/own.wav\n")
    recordings, problems = read_path(tmp_path, "keywords", GUESSED)
    assert [(Path(r.path).name, r.text, r.split, r.speaker) for r in recordings] == [
        ("tap.wav", "_background_noise_", "train", ""),
        ("0a_nohash_0.wav", "no", "train", "0a"),
        ("2c_nohash_0.wav", "no", "test", "2c"),
        ("own.wav", "no", "test", ""),
        ("0a_nohash_0.wav", "yes", "train", "0a"),
        ("0a_nohash_1.wav", "yes", "train", "0a"),
        ("1b_nohash_0.wav", "yes", "validation", "1b"),
    ]
    assert {(problem.where, problem.message.split(".wav")[0]) for problem in problems} == {
        (str(tmp_path), "ignored files outside the folders of words: 1 LICENSE"),
        (str(tmp_path / "_background_noise_"), "ignored files not named "),
    }


def test_lists_may_name_more_than_there_is(tmp_path):
    write(tmp_path, "yes/a.wav", "yes/b.wav")
    names = ["yes/b.wav", *(f"bed/{row}.wav" for row in range(5))]
    (tmp_path / "testing_list.txt").write_text("\n".join(names))
    recordings, (problem,) = read_path(tmp_path, "keywords", GUESSED)
    assert [recording.split for recording in recordings] == ["train", "test"]
    assert (problem.severity, problem.where, problem.message) == (
        "warning",
        str(tmp_path / "testing_list.txt"),
        "files that are not there, 5 of 6: bed/0.wav, bed/1.wav, bed/2.wav, …",
    )


def test_lists_are_text(tmp_path):
    write(tmp_path, "yes/a.wav")
    (tmp_path / "validation_list.txt").write_bytes("yes/é.wav".encode("latin-1"))
    with pytest.raises(DataError, match=r"validation_list.txt:1: not UTF-8 text"):
        read_path(tmp_path, "keywords", GUESSED)


def test_folders_of_words_below_folders_of_splits(tmp_path):
    write(tmp_path, "train/yes/a.wav", "Test/no/b.wav", "dev/yes/c.wav", "old/yes/d.wav")
    recordings, (problem,) = read_path(tmp_path, "transcripts", GUESSED)
    found = {recording.where[-5:]: (recording.text, recording.split) for recording in recordings}
    assert found == {
        "a.wav": ("yes", "train"),
        "b.wav": ("no", "test"),
        "c.wav": ("yes", "validation"),
    }
    assert problem.where == str(tmp_path / "old")


def test_what_is_no_sound_is_named(tmp_path):
    write(tmp_path, "yes/a.wav", "yes/a.txt", "yes/b.txt", "README.md")
    _, problems = read_path(tmp_path, "keywords", GUESSED)
    assert [problem.message[:40] for problem in problems] == [
        "ignored files outside the folders of wor",
        "ignored files not named .wav .flac .ogg ",
    ]
    assert problems[1].message.endswith(": 2 .txt")
