"""Templates of texts: alternatives, optional parts and references to lists.

`(a|b)` is one of its alternatives, `[a]` is there or not, `<name>` is a value of the list `name`,
`{name}` is such a value marked as a slot, and `{slot:name}` gives the slot a name of its own. The
brackets and `|` cannot stand for themselves. Any amount of white space is one blank.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

NAME = r"[\w.-]+"
MAX_DEPTH = 10

_TOKEN = re.compile(
    rf"\{{\s*(?:(?P<slot>{NAME})\s*:\s*)?(?P<marked>{NAME})\s*\}}|<\s*(?P<plain>{NAME})\s*>"
    r"|[^][(){}<>|]+|."
)
_CLOSING = {"(": ")", "[": "]"}


class Reference(NamedTuple):
    """A place that a value of a list takes.

    Args:
        name: Name of the list.
        slot: Name of the slot that the value is; `""` if it is none.
    """

    name: str
    slot: str = ""


@dataclass(frozen=True)
class Choice:
    """A place that one of several templates takes."""

    branches: tuple[Template, ...]


Template = tuple["str | Reference | Choice", ...]
Piece = tuple[str, str]
"""A text and the name of the slot that it is; `""` if it is none."""
Values = Callable[[str], list[Template]]
"""The values of the list of this name."""


def parse(line: str) -> tuple[Template, ...]:
    """Reads the templates of a line.

    Args:
        line: Alternatives, separated by `|`.

    Returns:
        The template of each alternative.

    Raises:
        ValueError: If a bracket has no partner, an alternative is empty or can become empty, or
            brackets are nested more than `MAX_DEPTH` deep.
    """
    tokens = _TOKEN.finditer(line)
    branches = tuple(map(_trim, _parse_alternatives(tokens, closing="", depth=0)))
    if any(_can_be_empty(branch) for branch in branches):
        raise ValueError("nothing is left without the optional parts; put a word outside of [ ]")
    return branches


def references(template: Template) -> Iterator[Reference]:
    """The references of a template, those inside of its alternatives too."""
    for part in template:
        if isinstance(part, Reference):
            yield part
        elif isinstance(part, Choice):
            for branch in part.branches:
                yield from references(branch)


def draw(template: Template, values: Values, generator: random.Random) -> list[Piece]:
    """Draws one text, with each alternative and each value of a list equally likely.

    Args:
        template: A template whose references do not lead back to themselves.
        values: At least one value for each list referred to.
        generator: Source of the choices.

    Returns:
        The pieces of the text, whose white space `join` puts in order.
    """
    pieces: list[Piece] = []
    for part in template:
        if isinstance(part, str):
            pieces.append((part, ""))
        elif isinstance(part, Choice):
            pieces += draw(generator.choice(part.branches), values, generator)
        else:
            value = draw(generator.choice(values(part.name)), values, generator)
            pieces += [(join(value), part.slot)] if part.slot else value
    return pieces


def join(pieces: list[Piece]) -> str:
    """The text of some pieces, with any amount of white space as one blank."""
    return " ".join("".join(text for text, _ in pieces).split())


def _parse_alternatives(
    tokens: Iterator[re.Match[str]], closing: str, depth: int
) -> tuple[Template, ...]:
    if depth > MAX_DEPTH:
        raise ValueError(f"brackets are nested more than {MAX_DEPTH} deep; use a list")
    branches: list[list[str | Reference | Choice]] = [[]]
    for match in tokens:
        token = match.group()
        if token == closing:
            return _checked(branches)
        if token == "|":
            branches.append([])
        elif token in _CLOSING:
            inner = _parse_alternatives(tokens, _CLOSING[token], depth + 1)
            part = Choice(inner)
            branches[-1].append(Choice(((part,), ())) if token == "[" else part)
        else:
            branches[-1].append(_parse_part(match))
    if closing:
        raise ValueError(f"a bracket is not closed; expected {closing!r}")
    return _checked(branches)


def _parse_part(match: re.Match[str]) -> str | Reference:
    if match["marked"]:
        return Reference(match["marked"], match["slot"] or match["marked"])
    if match["plain"]:
        return Reference(match["plain"])
    text = re.sub(r"\s+", " ", match.group())
    if text in ("{", "<"):
        raise ValueError(f"{text!r} without a name; expected {{list}}, {{slot:list}} or <list>")
    if text in ("}", ">", ")", "]"):
        raise ValueError(f"{text!r} closes no bracket")
    return text


def _checked(branches: list[list[str | Reference | Choice]]) -> tuple[Template, ...]:
    if not all(any(not isinstance(part, str) or part.strip() for part in b) for b in branches):
        raise ValueError("an alternative is empty; write [a|b] for a, b or nothing")
    return tuple(tuple(branch) for branch in branches)


def _trim(template: Template) -> Template:
    """Takes the blanks off both ends, so that the same template is found again."""
    first, last = template[0], template[-1]
    if isinstance(first, str):
        template = (first.lstrip(), *template[1:])
    if isinstance(last, str):
        template = (*template[:-1], str(template[-1]).rstrip())
    return tuple(part for part in template if part != "")


def _can_be_empty(template: Template) -> bool:
    for part in template:
        if isinstance(part, Reference) or (isinstance(part, str) and part.strip()):
            return False
        if isinstance(part, Choice) and not any(map(_can_be_empty, part.branches)):
            return False
    return True
