"""What a person sees while a script works: everything but the last line goes to standard error."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from shared.training.app import Problem

LISTED_PROBLEMS = 20
CONSOLE = Console(stderr=True, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A bar of steps with the time left; nothing where standard error is not a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
        disable=not CONSOLE.is_terminal,
    )


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; numbers are set right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*map(_cell, row))
    CONSOLE.print(table)


def print_problems(problems: Sequence[Problem]) -> None:
    """Lists what the data check found; a long list is cut, and whole in the report."""
    for problem in problems[:LISTED_PROBLEMS]:
        CONSOLE.print(f"{problem.severity}: {problem.where}: {problem.message}", markup=False)
    if len(problems) > LISTED_PROBLEMS:
        CONSOLE.print(f"… and {len(problems) - LISTED_PROBLEMS:,} more, listed in the report")


def format_metrics(metrics: Mapping[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9876`."""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items())


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
