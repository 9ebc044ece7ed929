"""Records: training runs as a user types them, measured and written to a file."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.files import write_atomically
from shared.training.config import RunConfig
from shared.training.run_folder import describe

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Record:
    """A result to reach with one command.

    Args:
        app: The app's folder name.
        name: The record file's name.
        flags: Flags of the train script, without the seed.
        seeds: One run for each.
        at_least: What the means of test metrics must reach, by name.
        seconds: The longest run, from the command to the published model, must not exceed this.
    """

    app: str
    name: str
    flags: tuple[str, ...]
    seeds: tuple[int, ...]
    at_least: Mapping[str, float]
    seconds: float = math.inf

    @property
    def to_reach(self) -> dict[str, float]:
        limit = {} if math.isinf(self.seconds) else {"command_seconds": self.seconds}
        return {**self.at_least, **limit}

    @property
    def path(self) -> Path:
        return ROOT / "apps" / self.app / "records" / f"{self.name}.json"


def check(record: Record, folder: Path) -> None:
    """Measures a record, writes its file and asserts that it is reached."""
    values = measure(record, folder)
    missed = {
        name: (values["test"][name]["mean"], target)
        for name, target in record.at_least.items()
        if values["test"][name]["mean"] < target
    }
    assert not missed, f"reached, to reach: {missed}"
    assert max(values["command_seconds"]["values"]) <= record.seconds


def measure(record: Record, folder: Path) -> dict[str, Any]:
    """Runs the command once per seed and writes the record file.

    Args:
        record: What to run.
        folder: Where runs and models go.

    Returns:
        The record file's content.
    """
    command = f"python -m apps.{record.app}.train {' '.join(record.flags)}".strip()
    runs = [_run(record, seed, folder) for seed in record.seeds]
    values = {
        "command": f"{command} --seed SEED",
        "seeds": list(record.seeds),
        "test": {name: _summary([run["test"][name] for run in runs]) for name in runs[0]["test"]},
        "train_seconds": _summary([run["train_seconds"] for run in runs]),
        "command_seconds": _summary([run["command_seconds"] for run in runs]),
        "to_reach": record.to_reach,
        "parameters": runs[0]["parameters"],
        "export": runs[0]["export"],
        "hardware": hardware(),
        **origin(),
        "date": time.strftime("%Y-%m-%d"),
    }
    write_atomically(record.path, json.dumps(values, indent=2) + "\n")
    return values


def _run(record: Record, seed: int, folder: Path) -> dict[str, Any]:
    words = [
        *("-m", f"apps.{record.app}.train", *record.flags, f"--seed={seed}"),
        *(f"--runs={folder / 'runs'}", f"--saved_models={folder / 'saved_models'}"),
    ]
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    result = json.loads(process.stdout.splitlines()[-1])
    metrics = json.loads((Path(result["run"]) / "metrics.json").read_text())
    return {**metrics, **result, "command_seconds": round(time.monotonic() - start, 1)}


def _summary(values: list[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": spread, "values": values}


def hardware() -> dict[str, Any]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
    }


def origin() -> dict[str, Any]:
    details = describe("", RunConfig())
    return {"versions": details["versions"], "git_commit": details["git_commit"]}
