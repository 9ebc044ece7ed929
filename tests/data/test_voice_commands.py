import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data import voice_commands
from data.home_assistant import read_home_assistant
from data.readers.recordings import read_path
from data.recordings import Recording, RecordingFields, normalize_transcript
from data.voice_commands import PATH
from data.voice_commands.synthesize import (
    ACCENTS,
    ACCENTS_OF_A_VARIANT,
    CLIPS,
    MAX_WORDS,
    SAMPLE_RATE,
    VARIANTS,
    VOCABULARY,
    choose_sentences,
    synthesize,
    voices,
)

SPLITS = ("train", "validation", "test")
TINY = {"train": 3, "validation": 1, "test": 1}
needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng")


def read(folder: Path) -> dict[str, list[Recording]]:
    recordings, problems = read_path(folder, "transcripts", RecordingFields())
    assert not problems
    return {split: [r for r in recordings if r.split == split] for split in SPLITS}


def told(recording: Recording) -> tuple[str, str, float, float | None]:
    return recording.speaker, recording.text, recording.start, recording.end


def words(recordings: list[Recording]) -> Counter[str]:
    return Counter(word for recording in recordings for word in recording.text.split())


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Recording]]:
    return read(PATH)


@pytest.fixture(scope="module")
def sounds(splits) -> dict[str, np.ndarray]:
    sounds = {}
    for path in {recording.path for recordings in splits.values() for recording in recordings}:
        sounds[path], sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert sample_rate == SAMPLE_RATE and sounds[path].shape[1] == 1, path
    return sounds


def clip(recording: Recording, sounds: dict[str, np.ndarray]) -> np.ndarray:
    end = recording.end or 0.0
    return sounds[recording.path][
        round(recording.start * SAMPLE_RATE) : round(end * SAMPLE_RATE), 0
    ]


def test_the_set_is_small_and_says_that_it_is_synthetic():
    assert "SYNTHETIC" in (voice_commands.__doc__ or "")
    assert sum(path.stat().st_size for path in PATH.rglob("*") if path.is_file()) < 6_000_000


def test_sizes(splits):
    assert {split: len(recordings) for split, recordings in splits.items()} == CLIPS
    seconds = [(r.end or 0.0) - r.start for recordings in splits.values() for r in recordings]
    assert 0.7 < min(seconds) and max(seconds) < 4.5
    assert 60 < sum(seconds) / 60 < 70


def test_every_recording_belongs_to_the_set(splits):
    used = {Path(r.path) for recordings in splits.values() for r in recordings}
    assert used == set((PATH / "voices").iterdir())


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (1, 2)])
def test_splits_share_no_speakers_and_no_sentences(splits, first, second):
    first, second = splits[SPLITS[first]], splits[SPLITS[second]]
    assert not {r.text for r in first} & {r.text for r in second}
    variants = [{r.speaker.partition("+")[2] for r in split} for split in (first, second)]
    assert all(variants) and not variants[0] & variants[1]


def test_sentences_are_those_of_the_same_split_of_home_assistant(splits):
    for split, recordings in splits.items():
        known = {normalize_transcript(u.text) for u in read_home_assistant() if u.split == split}
        assert {recording.text for recording in recordings} <= known


def test_every_word_comes_several_times_in_training(splits):
    counts = words(splits["train"])
    assert len(counts) == VOCABULARY and min(counts.values()) >= 5
    assert set(words(splits["validation"])) | set(words(splits["test"])) <= set(counts)


def test_transcripts_are_normalised_and_short(splits):
    for recording in (r for recordings in splits.values() for r in recordings):
        assert recording.text == normalize_transcript(recording.text)
        assert set(recording.text) <= set("abcdefghijklmnopqrstuvwxyz' ")
        assert 2 <= len(recording.text.split()) <= MAX_WORDS


def test_every_clip_lies_in_its_file_behind_the_one_before(splits, sounds):
    ends = dict.fromkeys(sounds, 0.0)
    for recording in (r for recordings in splits.values() for r in recordings):
        assert recording.start > ends[recording.path]
        ends[recording.path] = recording.end or 0.0
    for path, end in ends.items():
        assert end < len(sounds[path]) / SAMPLE_RATE < end + 0.2, path


def test_every_clip_is_heard_and_none_is_cut_or_clipped(splits, sounds):
    for recording in (r for recordings in splits.values() for r in recordings):
        frames = clip(recording, sounds).reshape(-1, SAMPLE_RATE // 100)
        powers = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
        assert powers.max() > -35 and np.abs(frames).max() < 0.99, recording
        margins = max(powers[:5].mean(), powers[-5:].mean())
        assert margins < powers.max() - 15, recording


def test_a_voice_is_a_known_accent_and_variant_and_none_comes_twice():
    for split in SPLITS:
        found = voices(split)
        assert len(set(found)) == len(found) == ACCENTS_OF_A_VARIANT * len(VARIANTS[split])
        assert {voice.accent for voice in found} <= set(ACCENTS)


def test_the_sentences_of_the_script_are_those_of_the_set(splits):
    for split, sentences in choose_sentences().items():
        assert {recording.text for recording in splits[split]} == set(sentences)


@needs_espeak
def test_a_seed_makes_the_same_recordings_and_another_makes_others(tmp_path):
    made = []
    for name, seed in {"first": 0, "second": 0, "other": 1}.items():
        synthesize(tmp_path / name, clips=TINY, seed=seed)
        splits = read(tmp_path / name)
        assert {split: len(recordings) for split, recordings in splits.items()} == TINY
        made.append([r for split in splits.values() for r in split])
    first, second, other = made
    assert list(map(told, first)) == list(map(told, second)) != list(map(told, other))
    for pair in zip(first, second, strict=True):
        np.testing.assert_array_equal(*(soundfile.read(r.path)[0] for r in pair))
