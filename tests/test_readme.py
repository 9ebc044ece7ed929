"""What README says is so: results, concepts, the tree, the modules of its commands."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from apps import APPS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def table(title: str) -> list[list[str]]:
    rows = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


METRICS = {
    "accuracy": "accuracy",
    "intent_accuracy": "intent",
    "slot_f1": "slot F1",
    "sentence_accuracy": "sentence",
    "wer": "WER",
    "cer": "CER",
}


def spread(values: dict[str, Any]) -> str:
    deviation = f" ± {100 * values['std']:.2f}" if values["std"] is not None else ""
    return f"{100 * values['mean']:.2f}{deviation}"


def measured(record: dict[str, Any]) -> list[str]:
    """The metrics with a target, or all that have a name here, and the baseline's accuracy."""
    aims = [name for name in record["to_reach"] if name in METRICS]
    names = aims or [name for name in METRICS if name in record["test"]]
    results = [f"{METRICS[name]} {spread(record['test'][name])}" for name in names]
    baseline = record.get("baseline")
    return results + ([f"TF-IDF {spread(baseline['accuracy'])}"] if baseline else [])


@pytest.mark.parametrize("row", table("Results"), ids=lambda row: row[0])
def test_results_are_those_of_the_records(row: list[str]) -> None:
    _, result, training, command, seeds, link = row
    record = json.loads((ROOT / re.search(r"\((.+)\)", link)[1]).read_text())
    assert result == ", ".join(measured(record))
    assert training == f"{record['train_seconds']['mean']:.0f}"
    assert command == f"{record['command_seconds']['mean']:.0f}"
    assert seeds == str(len(record["seeds"]))


def test_every_record_is_in_the_table() -> None:
    listed = {re.search(r"\((.+)\)", row[-1])[1] for row in table("Results")}
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("apps/*/records/*.json")}
    assert listed == files


@pytest.mark.parametrize("row", table("From concept to code"), ids=lambda row: row[0])
def test_concepts_live_where_the_table_says(row: list[str]) -> None:
    _, code, where = row
    if where.strip():
        path, line = re.search(r"\((.+)#L(\d+)\)", where).groups()
        assert code.strip("`") in (ROOT / path).read_text().splitlines()[int(line) - 1]


def test_the_tree_names_every_module() -> None:
    tree = section("The tree")
    described = set(re.findall(r"(\w+)/ +\S", tree))  # Folders whose files need no lines.
    for path in ROOT.glob("[asd]*/**/*.py"):
        top, *folders = path.relative_to(ROOT).parts[:-1]
        if top in ("apps", "shared", "data") and path.name != "__init__.py":
            assert path.name in tree or described & set(folders), path


def test_commands_name_modules_that_exist() -> None:
    modules = set(re.findall(r"python -m (apps\.[\w.]+)", README))
    assert len(modules) >= 3
    assert all(find_spec(module) for module in modules)


@pytest.mark.parametrize("app", APPS)
def test_every_app_has_its_commands(app: str) -> None:
    for script in ("train", "predict", "evaluate"):
        assert f"python -m apps.{app}.{script}" in README
