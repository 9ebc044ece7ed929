"""The results that speech recognition has to reach; `make bench` measures them anew.

AN4 is a user's own data here: the folder with its train.csv and test.csv is taken from the
environment variable AN4.
"""

import os
from pathlib import Path

import pytest

from tests.benchmarks.records import Record, check

SEEDS = (0, 1, 2)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS = (
    *("--task=keywords", "--data=spoken_digit", "--training.batch_size=32"),
    *("--training.epochs=24", "--optimizer.name=adamw", "--optimizer.learning_rate=0.003"),
    "--optimizer.clip_norm=5",
)
# What differs between the few speakers of the training must not look like what words differ in.
NEW_SPEAKER = (
    *("--augmentation.speed=0.25", "--augmentation.noise=0.3", "--augmentation.reverberation=0.2"),
    *("--augmentation.frequency_masks=2", "--augmentation.time_masks=2"),
)
AN4 = (
    *(f"--data={os.environ.get('AN4', 'an4')}", "--preset=best"),
    "--split.validation_fraction=0.05",
)

RECORDS = [
    Record(
        "speech_recognition", "voice_commands-quick", (), SEEDS, {}, 4 * 60, at_most={"wer": 0.05}
    ),
    Record("speech_recognition", "spoken_digit-quick", DIGITS, SEEDS, {"accuracy": 0.993}, 5 * 60),
    *(
        Record(
            "speech_recognition",
            f"spoken_digit-without-{speaker}",
            (*DIGITS, *NEW_SPEAKER, f"--split.test_speakers={speaker}"),
            SEEDS,
            {},
        )
        for speaker in SPEAKERS
    ),
    Record(
        "speech_recognition",
        "an4-best",
        AN4,
        (0,),
        {},
        60 * 60,
        at_most={"wer": 0.095, "cer": 0.051},
    ),
    Record("speech_recognition", "an4-best-ngrams", (*AN4, "--decoding.beam_width=16"), (0,), {}),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    check(record, tmp_path)
