"""The results that NLP has to reach; `make bench` measures them anew."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.records import Record, check

RECORDS_FOLDER = Path(__file__).parents[2] / "apps" / "nlp" / "records"
SEEDS = (0, 1, 2)
IMDB = "--data=imdb_reviews"
LANGUAGE_MODEL = (
    *("--task=language_model", IMDB, "--preset=best", "--training.epochs=1"),
    "--training.minimum_steps=0",
    *("--text.max_tokens=256", "--split.validation_fraction=0.02"),
    *("--optimizer.name=adamw", "--optimizer.learning_rate=0.004", "--optimizer.clip_norm=1"),
)
IMDB_BEST = (
    *(IMDB, "--preset=best", "--augmentation.adversarial=0"),
    "--split.validation_fraction=0.04",
)
FEW_LABELS = (
    *(IMDB, "--preset=best", "--split.train_texts=1000", "--split.validation_fraction=0.02"),
    "--training.minimum_steps=200",
)
TREC = ("--data=trec", "--preset=best")

RECORDS = [
    Record("nlp", "reviews-quick", (), SEEDS, {"accuracy": 0.97}, 60, above_baseline=0.05),
    Record("nlp", "imdb-quick", (IMDB,), SEEDS, {"accuracy": 0.906}, 10 * 60),
    Record(
        *("nlp", "imdb-best", IMDB_BEST, (0,), {"accuracy": 0.928}),
        pretraining=LANGUAGE_MODEL,
    ),
    Record("nlp", "imdb-few-labels", FEW_LABELS, (0,), {}),
    Record(
        *("nlp", "imdb-few-labels-pretrained", FEW_LABELS, (0,), {}),
        pretraining=LANGUAGE_MODEL,
    ),
    Record(
        *("nlp", "trec-best", TREC, SEEDS, {"accuracy": 0.93}),
        pretraining=LANGUAGE_MODEL,
    ),
    Record("nlp", "trec-best-not-pretrained", TREC, SEEDS, {}),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    check(record, tmp_path)


@pytest.mark.benchmark
def test_pretraining_helps() -> None:
    """With the same texts that have labels, in the records that were just measured."""
    pretrained, without = (
        json.loads((RECORDS_FOLDER / f"trec-best{name}.json").read_text())
        for name in ("", "-not-pretrained")
    )
    assert pretrained["command"].replace(" --pretrained RUN", "") == without["command"]
    assert pretrained["test"]["accuracy"]["mean"] > without["test"]["accuracy"]["mean"]
