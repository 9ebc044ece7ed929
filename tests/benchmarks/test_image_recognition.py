"""The results that image recognition has to reach; `make bench` measures them anew."""

from pathlib import Path

import pytest

from tests.benchmarks.records import Record, measure

RECORDS = [
    Record("image_recognition", "digits-quick", (), (0, 1, 2), "accuracy", 0.99, 60),
    Record(
        "image_recognition",
        "fashion_mnist-quick",
        ("--data=fashion_mnist",),
        (0, 1, 2),
        "accuracy",
        0.925,
        5 * 60,
    ),
    Record(
        "image_recognition",
        "fashion_mnist-best",
        ("--data=fashion_mnist", "--preset=best"),
        (0,),
        "accuracy",
        0.947,
        45 * 60,
    ),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    values = measure(record, tmp_path)
    assert values["test"][record.metric]["mean"] >= record.at_least
    assert max(values["command_seconds"]["values"]) <= record.seconds
