from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from data.audio import encode_wav, to_16_bits
from data.checks import Survey
from data.recording_checks import check_recordings, survey_recordings
from data.recordings import Recording, group_recordings
from data.splits import DataError, Problem, Split, Splits, from_bytes

RATE = 1000
GENERATOR = np.random.default_rng(0)


@dataclass(frozen=True)
class Clip:
    """A recording to make."""

    text: str
    seconds: float = 1.0
    speaker: str = ""
    content: bytes | None = None
    rate: int = RATE


def noise(seconds: float, peak: float = 0.5, rate: int = RATE) -> bytes:
    samples = GENERATOR.uniform(-peak, peak, (round(seconds * rate), 1))
    return encode_wav(to_16_bits(samples), rate)


def clips(texts: str, size: int = 8) -> list[Clip]:
    words = texts.split()
    return [Clip(words[row % len(words)]) for row in range(size)]


def make_splits(kind: str, **groups: Sequence[Clip]) -> Splits:
    given = [(name, row, clip) for name, group in groups.items() for row, clip in enumerate(group)]
    found = [Recording("", clip.text, split=name, speaker=clip.speaker) for name, _, clip in given]
    contents = [
        noise(clip.seconds, rate=clip.rate) if clip.content is None else clip.content
        for _, _, clip in given
    ]
    inputs = from_bytes(contents, [0] * len(given), [f"{name}:{row}" for name, row, _ in given])
    labels, splits = group_recordings(found, kind, inputs=inputs)
    return Splits("set", labels, **splits)


def run(
    train: Sequence[Clip] = (),
    validation: Sequence[Clip] = (),
    test: Sequence[Clip] = (),
    kind: str = "transcripts",
    seconds_per_character: float = 0.0,
) -> Survey:
    groups = {
        "train": [*clips("yes no", 40), *train],
        "validation": [*clips("yes no"), *validation],
        "test": [*clips("yes no"), *test],
    }
    splits = make_splits(kind, **groups)
    return survey_recordings(splits, seconds_per_character=seconds_per_character)


def listed(result: Survey) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.where, problem.message) for problem in result.problems]


kinds = pytest.mark.parametrize("kind", ["keywords", "transcripts"])


@kinds
def test_good_data_has_no_problems(kind):
    result = run(kind=kind, seconds_per_character=0.3)
    assert result.problems == ()
    result.raise_errors()


def test_facts_are_those_of_the_recordings_to_train_on():
    result = run([Clip("on", 2.5), Clip("on", 1.5, rate=800), Clip("on", content=b"")])
    assert sorted(result.facts) == ["sample_rates", "seconds"]
    np.testing.assert_array_equal(result.facts["seconds"][-3:], [1.0, 2.5, 1.5])
    np.testing.assert_array_equal(result.facts["sample_rates"][-3:], [RATE, RATE, 800])
    assert result.splits.train.size == len(result.facts["seconds"]) == 42


@kinds
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no sound, or in a format that neither libsndfile nor ffmpeg reads"),
        (b"no sound", "Format not recognised."),
        (noise(0), "no samples: an empty file, or a start behind its end"),
        (encode_wav(np.array([[0], [np.nan]], np.float32), RATE), "samples that are not numbers"),
        (encode_wav(np.array([[np.inf]], np.float32), RATE), "samples that are not numbers"),
    ],
)
def test_what_cannot_be_read_is_left_out(kind, content, message):
    result = run([Clip("yes", content=content)], test=[Clip("no", content=content)], kind=kind)
    assert listed(result)[:2] == [
        ("warning", "train:40", f"unreadable, left out: {message}"),
        ("warning", "test:8", f"unreadable, left out: {message}"),
    ]
    assert ("error", "test") in [problem[:2] for problem in listed(result)]
    assert (result.splits.train.size, result.splits.test.size) == (40, 8)


def test_silent_clipped_and_long_recordings():
    quiet, loud = noise(1.0, peak=1e-4), noise(1.0, peak=1.0)
    loud = loud[:44] + b"\xff\x7f" * 100 + loud[244:]
    result = run(
        [Clip("yes", content=quiet), Clip("no", 70.0)],
        test=[Clip("no", content=quiet[:44] + bytes(2000)), Clip("no", content=loud)],
    )
    assert listed(result) == [
        ("warning", "train", "silent recordings, 1 in all: train:40 (peak 9e-05)"),
        ("warning", "train", "recordings of over 60 seconds, 1 in all: train:41 (70 s)"),
        ("warning", "test", "silent recordings, 1 in all: test:8 (peak 0)"),
        (
            "warning",
            "test",
            "clipped recordings, with over 1% of the samples at full scale, 1 in all: test:9 (10%)",
        ),
    ]


def test_silence_may_be_silent():
    quiet = noise(1.0, peak=0.0)
    result = run(
        [Clip("silence", content=quiet)] * 5, [Clip("silence")], [Clip("silence")], kind="keywords"
    )
    assert listed(result) == []


def test_recordings_too_short_for_their_text():
    result = run([Clip("hello", 0.5), Clip("helo", 0.5)], seconds_per_character=0.1)
    what = "recordings that are too short for their text, 1 in all: train:40 (needs 0.60 s)"
    assert listed(result) == [("warning", "train", what)]


def test_several_sample_rates():
    result = run(test=[Clip("yes", rate=800), Clip("no", rate=800)])
    message = "recordings of several sample rates: 800 Hz (2), 1000 Hz (56)"
    assert listed(result) == [("warning", "set", message)]


def test_characters_that_train_lacks():
    result = run(validation=[Clip("año")], test=[Clip("zoo"), Clip("zone")])
    what = "characters that train lacks and that count as mistakes"
    assert listed(result) == [
        (
            "warning",
            "validation",
            f"{what}, 2 in all: 'a' (1, validation:8), 'ñ' (1, validation:8)",
        ),
        ("warning", "test", f"{what}, 1 in all: 'z' (2, test:8)"),
    ]


def test_one_answer():
    one = {name: clips("yes", 3) for name in ("train", "validation", "test")}
    with pytest.raises(DataError, match="every transcript is 'yes'; expected two or more"):
        survey_recordings(make_splits("transcripts", **one)).raise_errors()
    with pytest.raises(DataError, match="only the class 'yes'; expected two or more"):
        survey_recordings(make_splits("keywords", **one)).raise_errors()


def test_words_of_one_split():
    result = run(clips("maybe"), test=[Clip("later")], kind="keywords")
    assert [problem[:2] for problem in listed(result)] == [("error", "test"), ("warning", "test")]
    assert "classes that train lacks: 'later'" in result.problems[0].message
    assert "not measured for lack of examples: 'maybe'" in result.problems[1].message


@kinds
def test_one_recording_twice(kind):
    content = noise(1.0)
    yes, no = Clip("yes", content=content), Clip("no", content=content)
    result = run([yes, no], test=[yes], kind=kind)
    noun = "transcript" if kind == "transcripts" else "label"
    assert listed(result) == [
        ("warning", "train:41", f"the same file as train:40, with another {noun}"),
        ("warning", "test:8", "the same file as train:40, in both train and test"),
    ]


def test_speakers_of_several_splits():
    speakers = [Clip("yes", speaker=f"s{number}") for number in range(7)]
    result = run(speakers, speakers[1:], [Clip("no", speaker="ann"), speakers[3]])
    what = "speakers that are in train too, so that the result is not that of new speakers"
    assert listed(result) == [
        ("warning", "validation", f"{what}, 6 in all: s1, s2, s3, s4, s5, …"),
        ("warning", "test", f"{what}, 1 in all: s3"),
    ]


def test_warnings_of_the_reader_come_first():
    note = Problem("warning", "notes.txt", "ignored")
    parts = {name: clips("a b", 2) for name in ("train", "validation", "test")}
    splits = make_splits("transcripts", **parts)
    noted = Splits("set", splits.labels, splits.train, splits.validation, splits.test, (note,))
    assert survey_recordings(noted).problems == (note,)


def make_split(kind: str, *group: Clip) -> tuple[tuple[str, ...], Split]:
    splits = make_splits(kind, train=group, validation=group, test=group)
    return splits.labels, splits.test


@kinds
def test_what_a_model_cannot_be_measured_on_is_left_out(kind):
    quiet = Clip("no", content=noise(1.0, 0.0))
    labels, split = make_split(kind, Clip("yes"), Clip("yes", content=b"x"), quiet)
    kept, problems = check_recordings(split, labels)
    assert kept.ids.tolist() == ["test:0", "test:2"]
    assert [(problem.where, problem.message[:17]) for problem in problems] == [
        ("test:1", "unreadable, left "),
        ("data", "silent recordings"),
    ]


def test_nothing_to_measure_on():
    labels, split = make_split("transcripts", Clip("yes", content=b""), Clip("no", content=b"RIFF"))
    with pytest.raises(DataError, match="none of 2 examples can be read"):
        check_recordings(split, labels)
