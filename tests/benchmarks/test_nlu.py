"""The results that NLU has to reach; `make bench` measures them anew."""

from pathlib import Path

import pytest

from tests.benchmarks.records import Record, check

SEEDS = (0, 1, 2)


def to_reach(intent: float, slots: float, sentence: float) -> dict[str, float]:
    return {"intent_accuracy": intent, "slot_f1": slots, "sentence_accuracy": sentence}


RECORDS = [
    Record("nlu", "home_assistant-quick", (), SEEDS, to_reach(0.99, 0.98, 0.97), 60),
    Record("nlu", "atis-quick", ("--data=atis",), SEEDS, to_reach(0.957, 0.939, 0.854), 3 * 60),
    Record("nlu", "snips-quick", ("--data=snips",), SEEDS, to_reach(0.968, 0.939, 0.883), 3 * 60),
    Record(
        "nlu", "atis-best", ("--data=atis", "--preset=best"), SEEDS, to_reach(0.977, 0.959, 0.874)
    ),
    Record(
        "nlu", "snips-best", ("--data=snips", "--preset=best"), SEEDS, to_reach(0.988, 0.959, 0.903)
    ),
]


@pytest.mark.benchmark
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_record(record: Record, tmp_path: Path) -> None:
    check(record, tmp_path)
