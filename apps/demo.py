"""Every app once on its default data: `make demo`."""

import json
import subprocess
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from apps import APPS


def demo() -> None:
    """Trains, evaluates, exports, verifies and asks each app; prints one table.

    Exits with status 1 if any step fails.
    """
    table = Table(title="Quartet", title_justify="left")
    for column in ("app", "data", "test metric", "seconds", "SavedModel"):
        table.add_column(column, overflow="fold")
    for app in APPS:
        table.add_row(*_row(app))
    Console().print(table)


def _row(app: str) -> tuple[str, str, str, str, str]:
    start = time.monotonic()
    result = json.loads(_run(f"apps.{app}.train").splitlines()[-1])
    sys.stderr.write(_run(f"apps.{app}.predict", "--model", result["path"], *result["samples"]))
    metric = f"{result['headline'].replace('_', ' ')} {result['test'][result['headline']]:.4f}"
    return app, result["data"], metric, f"{time.monotonic() - start:.0f}", result["path"]


def _run(module: str, *words: str) -> str:
    """Standard output of a module run as a user runs it; progress goes to the terminal."""
    command = [sys.executable, "-m", module, *words]
    print("$ python -m", module, *words, file=sys.stderr)
    process: Any = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return process.stdout


if __name__ == "__main__":
    demo()
