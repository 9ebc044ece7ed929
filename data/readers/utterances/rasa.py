"""Training data of Rasa 2 and 3: the `nlu` section of YAML files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from data.readers.utterances.findings import UtteranceFindings
from data.utterances import Slot, Utterance

SUFFIXES = (".yml", ".yaml")

_UNUSED = ("synonym", "regex", "lookup")
_ANNOTATION = re.compile(r"\[([^\[\]]*)\](\(|\{|\[\{)")
_LOOSE_ANNOTATION = re.compile(r"\]\s+[({]")
_FORM = '[text](entity) or [text]{"entity": "name"}'


def read_rasa(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Reads the examples of intents.

    `[text](entity)` and `[text]{"entity": ..., "role": ..., "value": ..., "group": ...}` become
    slots called `entity`, or `entity.role` where there is a role. Slots are parts of the text, so
    values and groups are not used, and neither are synonyms, regular expressions and lookup
    tables, which a warning counts.

    Args:
        path: A UTF-8 file; one without `nlu` section holds no sentences, which is a warning.
        split: The split of its sentences.
        findings: Takes the sentences and the problems.
    """
    items = _items(path, findings)
    if items is None:
        return
    unused: Counter[str] = Counter()
    for item in items:
        fields = _fields(item)
        kinds = [kind for kind in ("intent", *_UNUSED) if kind in fields]
        if len(kinds) != 1:
            message = f"expected one of intent, {', '.join(_UNUSED)}; found {sorted(fields)}"
            findings.error(_place(path, item), message)
        elif kinds == ["intent"]:
            _read_intent(fields, path, split, findings)
        else:
            unused[kinds[0]] += 1
    if unused:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(unused.items()))
        findings.warning(str(path), f"not used, since only examples are learnt from: {counts}")


def parse_example(example: str) -> tuple[str, list[Slot]]:
    """Takes the annotations out of an example.

    Args:
        example: Such as `to [paris](city)`.

    Returns:
        The text and its slots.

    Raises:
        ValueError: If an annotation is not complete.
    """
    text, slots, position = "", [], 0
    while annotation := _ANNOTATION.search(example, position):
        text += example[position : annotation.start()]
        name, position = _entity(example, annotation)
        slots.append(Slot(name, len(text), len(text) + len(annotation[1])))
        text += annotation[1]
    return text + example[position:], slots


def _entity(example: str, annotation: re.Match[str]) -> tuple[str, int]:
    """The name of a slot and the position behind its annotation."""
    start = annotation.end()
    if annotation[2] == "(":
        end = example.find(")", start)
        if end < 0:
            raise ValueError(f"no ) after {annotation[0]!r}; expected {_FORM}")
        return example[start:end].partition(":")[0], end + 1
    if annotation[2] == "[{":
        raise ValueError(f"{annotation[1]!r} has a list of entities; expected one, {_FORM}")
    try:
        entity, end = json.JSONDecoder().raw_decode(example, start - 1)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON after [{annotation[1]}]: {error}; expected {_FORM}") from error
    parts = [entity.get("entity"), entity.get("role", "")]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"entity and role must be text in {entity}; expected {_FORM}")
    return ".".join(part for part in parts if part), end


def _items(path: Path, findings: UtteranceFindings) -> list[yaml.Node] | None:
    text = findings.read_text(path)
    if text is None:
        return None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).split("\n")[0]
        findings.error(f"{path}:{mark.line + 1 if mark else 1}", f"not YAML: {reason}")
        return None
    nlu = _fields(root).get("nlu")
    if nlu is None:
        findings.warning(str(path), "ignored: no nlu section")
        return None
    if not isinstance(nlu, yaml.SequenceNode):
        findings.error(_place(path, nlu), "nlu must be a list of items `- intent: NAME`")
        return None
    return nlu.value


def _fields(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _read_intent(
    fields: dict[str, yaml.Node], path: Path, split: str, findings: UtteranceFindings
) -> None:
    intent, examples = fields["intent"], fields.get("examples")
    if not isinstance(intent, yaml.ScalarNode):
        findings.error(_place(path, intent), "intent must be a name")
        return
    if examples is None:
        findings.error(_place(path, intent), f"the intent {intent.value!r} has no examples")
        return
    for where, example in _examples(examples, path, findings):
        if _LOOSE_ANNOTATION.search(example):
            findings.warning(where, "space after ]; what stands in brackets is read as plain text")
        try:
            text, slots = parse_example(example)
        except ValueError as error:
            findings.error(where, str(error))
            continue
        findings.add(Utterance(text, intent.value, tuple(slots), split, where))


def _examples(
    node: yaml.Node, path: Path, findings: UtteranceFindings
) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.SequenceNode):
        yield from _listed_examples(node, path, findings)
    elif isinstance(node, yaml.ScalarNode) and node.style == "|":
        # The text of a block begins on the line below the one with the bar.
        for line, example in enumerate(node.value.split("\n"), start=node.start_mark.line + 2):
            if example.startswith("-"):
                yield f"{path}:{line}", example[1:]
            elif example.strip():
                findings.error(f"{path}:{line}", f"{example!r}; expected `- ` and an example")
    else:
        message = "examples must be a block, `examples: |` and lines `- text`, or a list"
        findings.error(_place(path, node), message)


def _listed_examples(
    node: yaml.SequenceNode, path: Path, findings: UtteranceFindings
) -> Iterator[tuple[str, str]]:
    for item in node.value:
        text = _fields(item).get("text", item)
        # Several examples may stand on one line of a list in brackets.
        where = f"{_place(path, item)}:{item.start_mark.column + 1}"
        if isinstance(text, yaml.ScalarNode):
            yield where, text.value
        else:
            findings.error(where, "expected an example with text")


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
