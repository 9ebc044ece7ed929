"""The results that image recognition has to reach; `make bench` measures them anew."""

from pathlib import Path

import pytest

from tests.benchmarks.records import Record, check

APP = "image_recognition"
FASHION_MNIST = "--data=fashion_mnist"
RECORDS = [
    Record(APP, "digits-quick", (), (0, 1, 2), {"accuracy": 0.99}, 60),
    Record(APP, "fashion_mnist-quick", (FASHION_MNIST,), (0, 1, 2), {"accuracy": 0.925}, 5 * 60),
    Record(
        APP,
        "fashion_mnist-best",
        (FASHION_MNIST, "--preset=best"),
        (0,),
        {"accuracy": 0.947},
        45 * 60,
    ),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    check(record, tmp_path)
