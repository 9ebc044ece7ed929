"""The results that NLP has to reach; `make bench` measures them anew."""

from pathlib import Path

import pytest

from tests.benchmarks.records import Record, check

SEEDS = (0, 1, 2)
IMDB = "--data=imdb_reviews"
LANGUAGE_MODEL = (
    *("--task=language_model", IMDB, "--preset=best", "--training.epochs=1"),
    "--training.minimum_steps=0",
    *("--text.max_tokens=256", "--split.validation_fraction=0.02"),
    "--optimizer.learning_rate=0.03",
)

RECORDS = [
    Record("nlp", "reviews-quick", (), SEEDS, {"accuracy": 0.97}, 60, above_baseline=0.05),
    Record("nlp", "imdb-quick", (IMDB,), SEEDS, {"accuracy": 0.906}, 10 * 60),
    Record(
        *("nlp", "imdb-best", (IMDB, "--preset=best"), (0,), {"accuracy": 0.928}),
        pretraining=LANGUAGE_MODEL,
    ),
    Record("nlp", "imdb-best-from-scratch", (IMDB, "--preset=best"), (0,), {"accuracy": 0.0}),
    Record("nlp", "trec-best", ("--data=trec", "--preset=best"), SEEDS, {"accuracy": 0.93}),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    check(record, tmp_path)
