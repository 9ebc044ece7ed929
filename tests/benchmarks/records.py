"""Records: training runs as a user types them, measured and written to a file."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        at_most: What the means of error rates must not exceed, by name.
        seconds: The longest run, from the command to the published model, must not exceed this.
        above_baseline: How far the mean accuracy must be above that of the baseline.
        pretraining: Flags of a language model that is trained first, to start from; it is taken
            from `folder / "pretraining"` if it is there already.
    """

    app: str
    name: str
    flags: tuple[str, ...]
    seeds: tuple[int, ...]
    at_least: Mapping[str, float]
    seconds: float = math.inf
    above_baseline: float | None = None
    pretraining: tuple[str, ...] = ()
    at_most: Mapping[str, float] = field(default_factory=dict)

    @property
    def to_reach(self) -> dict[str, float]:
        limit = {} if math.isinf(self.seconds) else {"command_seconds": self.seconds}
        lead = {} if self.above_baseline is None else {"above_baseline": self.above_baseline}
        return {**self.at_least, **self.at_most, **lead, **limit}

    @property
    def path(self) -> Path:
        return ROOT / "apps" / self.app / "records" / f"{self.name}.json"


def check(record: Record, folder: Path) -> None:
    """Measures a record, writes its file and asserts that it is reached."""
    values = measure(record, folder)
    means = {name: value["mean"] for name, value in values["test"].items()}
    missed = {
        name: (means[name], target)
        for name, target in (*record.at_least.items(), *record.at_most.items())
        if (means[name] > target if name in record.at_most else means[name] < target)
    }
    assert not missed, f"reached, to reach: {missed}"
    assert max(values["command_seconds"]["values"]) <= record.seconds
    if record.above_baseline is not None:
        lead = values["test"]["accuracy"]["mean"] - values["baseline"]["accuracy"]["mean"]
        assert lead >= record.above_baseline


def measure(record: Record, folder: Path) -> dict[str, Any]:
    """Runs the command once per seed and writes the record file.

    Args:
        record: What to run.
        folder: Where runs and models go.

    Returns:
        The record file's content.
    """
    pretraining = _pretrain(record, folder) if record.pretraining else {}
    start = (f"--pretrained={folder / 'pretraining'}",) if record.pretraining else ()
    runs = [
        _run(record.app, (*record.flags, *start, f"--seed={seed}"), folder) for seed in record.seeds
    ]
    start = ("--pretrained RUN",) if record.pretraining else ()
    values = {
        "command": _command(record.app, (*record.flags, *start, "--seed SEED")),
        "seeds": list(record.seeds),
        "test": _summaries([run["test"] for run in runs]),
        "baseline": _summaries([run.get("baseline", {}) for run in runs]),
        "pretraining": pretraining,
        "train_seconds": _summary([run["train_seconds"] for run in runs]),
        "command_seconds": _summary([run["command_seconds"] for run in runs]),
        "examples_per_second": _summary([run["examples_per_second"] for run in runs]),
        "peak_memory_gib": _summary([run["peak_memory_gib"] for run in runs]),
        "to_reach": record.to_reach,
        "parameters": runs[0]["parameters"],
        "export": runs[0]["export"],
        "hardware": hardware(),
        **origin(),
        "date": time.strftime("%Y-%m-%d"),
    }
    write_atomically(record.path, json.dumps(values, indent=2) + "\n")
    return values


def _command(app: str, flags: Sequence[str]) -> str:
    return f"python -m apps.{app}.train {' '.join(flags)}"


def _pretrain(record: Record, folder: Path) -> dict[str, Any]:
    """Trains the language model, or finds it trained; gives what a record should say of it."""
    run, seed = folder / "pretraining", f"--seed={record.seeds[0]}"
    notes = folder / "pretraining.json"
    if not notes.exists():
        measured = _run(record.app, (*record.pretraining, seed, f"--run={run}"), folder)
        names = ("test", "train_seconds", "command_seconds", "examples_per_second", "epochs")
        kept = {name: measured[name] for name in (*names, "peak_memory_gib", "parameters")}
        command = _command(record.app, (*record.pretraining, seed, "--run RUN"))
        notes.write_text(json.dumps({"command": command, **kept}))
    return json.loads(notes.read_text())


def _run(app: str, flags: Sequence[str], folder: Path) -> dict[str, Any]:
    words = [
        *("-m", f"apps.{app}.train", *flags),
        *(f"--runs={folder / 'runs'}", f"--saved_models={folder / 'saved_models'}"),
    ]
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout as stream:
        output = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    result = json.loads(output.splitlines()[-1])
    metrics = json.loads((Path(result["run"]) / "metrics.json").read_text())
    seen = metrics["train_examples"] * metrics["epochs"]
    return {
        **metrics,
        **result,
        "command_seconds": round(time.monotonic() - start, 1),
        "examples_per_second": round(seen / metrics["train_seconds"], 1),
        "peak_memory_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def _summaries(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {name: _summary([run[name] for run in runs]) for name in runs[0]}


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
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
    }


def origin() -> dict[str, Any]:
    details = describe("", RunConfig())
    return {"versions": details["versions"], "git_commit": details["git_commit"]}
