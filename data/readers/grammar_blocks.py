"""The headings and lines of a grammar file, and what can be wrong with them.

`data.readers.grammar` describes the format.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data.readers import SPLIT_NAMES
from data.readers.templates import MAX_DEPTH, NAME, Reference, Template, parse, references
from data.splits import DataError, Problem

_SPLIT = "|".join(SPLIT_NAMES)
_COUNT = "[1-9][0-9]{0,5}"
_HEADING = re.compile(
    rf"(?:size|(?P<kind>list|intent)\s+(?P<name>{NAME}))"
    rf"(?:\s+(?P<split>{_SPLIT}))?(?:\s+(?P<count>{_COUNT}))?"
)


class Line(NamedTuple):
    """A value of a list or a phrasing of an intent, and the line that it stands on."""

    number: int
    template: Template


class Block(NamedTuple):
    """A heading and its content.

    Args:
        kind: `"size"`, `"list"`, `"intent"`, or `""` if the heading cannot be read.
        name: Name of the list or the intent.
        split: `"train"`, `"validation"`, `"test"`, or `""` for all of them.
        amount: Number of sentences; 0 if it is not given.
        number: Line of the heading.
        content: The values or phrasings.
    """

    kind: str
    name: str
    split: str
    amount: int
    number: int
    content: list[Line]


class Report:
    """Collects the problems of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []

    def error(self, line: int, message: str) -> None:
        """Notes what makes the file unusable."""
        self.problems.append(Problem("error", f"{self.path}:{line}", message))

    def warn(self, line: int, message: str) -> None:
        """Notes what a person should know."""
        self.problems.append(Problem("warning", f"{self.path}:{line}", message))

    def raise_errors(self) -> None:
        """Stops here if there are errors.

        Raises:
            DataError: Lists them all.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            raise DataError(errors)


def read_blocks(path: Path, report: Report) -> list[Block]:
    """Reads a grammar file.

    Args:
        path: The file.
        report: Receives all faults of the file.

    Returns:
        The headings with their content, in order.
    """
    blocks: list[Block] = []
    for number, line in _lines(path, report):
        if not line[0].isspace():
            blocks.append(_heading(line.strip(), number, report))
        elif not blocks or blocks[-1].kind == "size":
            report.error(number, "an indented line without a `list` or an `intent` above it")
        else:
            blocks[-1].content.extend(_templates(line, number, report))
    if not report.problems:
        _check_content(blocks, report)
        _check_repetitions(blocks, report)
        _check_references(blocks, report)
    return blocks


def _lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.error(line, f"not UTF-8 text ({error.reason}); save the grammar as UTF-8")
        return
    for number, row in enumerate(text.split("\n"), start=1):
        if row.strip() and not row.lstrip().startswith("#"):
            yield number, row


def _heading(line: str, number: int, report: Report) -> Block:
    match = _HEADING.fullmatch(line)
    if match is not None:
        kind, split = match["kind"] or "size", SPLIT_NAMES.get(match["split"], "")
        count = int(match["count"] or 0)
        is_complete = {"size": split and count, "list": not count, "intent": True}[kind]
        if is_complete:
            split = split or ("train" if kind == "intent" else "")
            return Block(kind, match["name"] or "", split, count, number, [])
    report.error(
        number,
        f"{line!r} is no heading; expected `size SPLIT COUNT`, `list NAME [SPLIT]`, `intent NAME "
        f"[SPLIT] [COUNT]` with a split of {', '.join(SPLIT_NAMES)}, or an indented line",
    )
    return Block("", "", "", 0, number, [])


def _templates(line: str, number: int, report: Report) -> list[Line]:
    try:
        return [Line(number, template) for template in parse(line)]
    except ValueError as error:
        report.error(number, str(error))
        return []


def _check_content(blocks: Sequence[Block], report: Report) -> None:
    counted: dict[tuple[str, str], int] = {}
    for block in blocks:
        if block.kind != "size" and not block.content:
            what = "phrasings" if block.kind == "intent" else "values"
            report.error(
                block.number,
                f"{block.kind} {block.name!r} has no {what}; write them below it, indented",
            )
        if block.amount and counted.setdefault(block[1:3], block.number) != block.number:
            report.error(block.number, f"this size is already given in line {counted[block[1:3]]}")
    if not any(block.kind == "intent" for block in blocks):
        report.error(1, "no intents; write `intent NAME` and indented phrasings below it")


def _check_repetitions(blocks: Sequence[Block], report: Report) -> None:
    seen: dict[tuple[str, Template], tuple[int, Block]] = {}
    for block in blocks:
        for number, template in block.content:
            scope = "" if block.kind == "intent" else f"list {block.name}"
            first, earlier = seen.setdefault((scope, template), (number, block))
            if earlier.name != block.name:
                report.error(number, f"the same phrasing as in line {first}, of {earlier.name!r}")
            elif earlier.split != block.split:
                splits = " and ".join(split or "every split" for split in (earlier[2], block[2]))
                report.warn(number, f"the same as in line {first}: it is in {splits}")


def _check_references(blocks: Sequence[Block], report: Report) -> None:
    lists = [block for block in blocks if block.kind == "list"]
    reach: dict[str, set[str]] = {block.name: set() for block in lists}
    for block in blocks:
        for number, reference in _references(block):
            if reference.name not in reach:
                report.error(number, _unknown(reference.name, reach))
            elif block.kind == "list":
                reach[block.name].add(reference.name)
    _check_depth(lists, reach, report)
    _extend(reach)
    _check_nested_slots(blocks, reach, report)
    _check_values(blocks, lists, reach, report)


def _references(block: Block) -> Iterator[tuple[int, Reference]]:
    for number, template in block.content:
        for reference in references(template):
            yield number, reference


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; write `list` and its name above values"
    return f"no list {name!r}{hint}"


def _check_depth(lists: Sequence[Block], direct: dict[str, set[str]], report: Report) -> None:
    deep = direct
    for _ in range(MAX_DEPTH):
        deep = {name: used & deep.keys() for name, used in deep.items() if used & deep.keys()}
    for block in lists:
        if block.name in deep:
            message = f"leads through more than {MAX_DEPTH} lists, or back to itself"
            report.error(block.number, f"list {block.name!r} {message}")


def _extend(reach: dict[str, set[str]]) -> None:
    """Adds to the lists that each list uses those which they use, and so on."""
    grows = True
    while grows:
        grows = False
        for used in reach.values():
            more = set().union(*(reach[name] for name in used)) - used
            used |= more
            grows = grows or bool(more)


def _check_nested_slots(
    blocks: Sequence[Block], reach: dict[str, set[str]], report: Report
) -> None:
    holding = {
        block.name
        for block in blocks
        if block.kind == "list" and any(reference.slot for _, reference in _references(block))
    }
    for block in blocks:
        for number, (name, slot) in _references(block):
            if slot and holding & {name, *reach.get(name, ())}:
                report.error(
                    number, f"slot {slot!r} would hold other slots of list {name!r}; use <{name}>"
                )


def _check_values(
    blocks: Sequence[Block], lists: Sequence[Block], reach: dict[str, set[str]], report: Report
) -> None:
    splits = {(block.name, block.split) for block in lists}
    all_used = set()
    for block in (block for block in blocks if block.kind == "intent"):
        for number, (name, _) in _references(block):
            used = {name, *reach[name]} if name in reach else set()
            all_used |= used
            for lacking in sorted(used):
                if not {(lacking, block.split), (lacking, "")} & splits:
                    report.error(number, f"list {lacking!r} has no values for {block.split}")
    for block in lists:
        if block.name not in all_used:
            report.warn(block.number, f"list {block.name!r} is not used")
