"""The report of a run: headline figures, learning curves, the app's sections, how it was made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.training import plots
from shared.training.app import Evaluation, Problem
from shared.training.report import Report, Section, Table, write_report

LISTED_PROBLEMS = 200


def write_run_report(
    path: Path,
    details: Mapping[str, Any],
    metrics: Mapping[str, Any],
    test: Evaluation,
    history: Sequence[Mapping[str, float]],
    problems: Sequence[Problem],
) -> None:
    """Writes the report of a training run as one HTML file.

    Args:
        path: The file.
        details: The run's `config.json`.
        metrics: The run's `metrics.json`, with `export`.
        test: Test metrics, sections and mistakes.
        history: Training and validation metrics per epoch.
        problems: What the data check found.
    """
    drawn = [{name: row[name] for name in row if name != "seconds"} for row in history]
    curves = Section("Learning curves", figures=[plots.learning_curves(drawn)])
    comparison = _baseline_section(test.metrics, metrics.get("baseline", {}))
    sections = [
        *comparison,
        curves,
        *test.sections,
        *_problems_section(problems),
        _export_section(metrics),
    ]
    write_report(
        Report(
            title=app_title(details["app"]),
            subtitle=f"{details['data']}, seed {details['seed']}, "
            f"{metrics['parameters']:,} parameters, {metrics['train_seconds']:.0f} s of training",
            tiles=metric_tiles(test.metrics),
            sections=[*sections, _origin_section(details)],
        ),
        path,
    )


def app_title(name: str) -> str:
    """An app's name as a heading: initials in capitals, words with spaces."""
    return name.upper() if len(name) <= 3 else name.replace("_", " ").capitalize()


def metric_tiles(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Headline figures: fractions as percentages, losses as numbers, counts whole."""
    return [(name.replace("_", " "), _format_metric(name, metrics[name])) for name in metrics]


def _format_metric(name: str, value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if name in ("loss", "perplexity") else f"{value:.2%}"


def _baseline_section(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> list[Section]:
    if not baseline:
        return []
    rows = [
        (name.replace("_", " "), _format_metric(name, metrics[name]), _format_metric(name, value))
        for name, value in baseline.items()
    ]
    return [
        Section(
            "Baseline",
            "A simple model, trained on the same examples, shows what the network buys: counts of "
            "words and word pairs (TF-IDF) with logistic regression.",
            tables=[Table(("metric", "network", "baseline"), rows)],
        )
    ]


def _problems_section(problems: Sequence[Problem]) -> list[Section]:
    if not problems:
        return []
    rows = [(p.severity, p.where, p.message) for p in problems[:LISTED_PROBLEMS]]
    text = f"The check before training found {len(problems):,} things in the data."
    return [Section("Data check", text, tables=[Table(("severity", "where", "what"), rows)])]


def _export_section(metrics: Mapping[str, Any]) -> Section:
    rows = [(name.replace("_", " "), value) for name, value in metrics["export"].items()]
    return Section(
        "Export",
        "The written SavedModel was loaded again and asked the validation examples in their raw "
        "form; its answers were compared with those of the trained model before it was published.",
        tables=[Table(("check", "result"), rows)],
    )


def _origin_section(details: Mapping[str, Any]) -> Section:
    origin = {"git commit": details["git_commit"] or "unknown", **details["versions"]}
    return Section(
        "How it was made",
        "The config.json beside this file runs it again: pass it with --config.",
        tables=[
            Table(("setting", "value"), list(_flatten(details["config"]))),
            Table(("software", "version"), list(origin.items())),
        ],
    )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, str(value)))
    return rows
