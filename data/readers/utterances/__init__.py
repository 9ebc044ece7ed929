"""Readers of sentences with intents and slots, one format each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from data.readers import grammar
from data.readers.utterances import conll, json_files, rasa, tables
from data.readers.utterances.bio import is_bio_folder, read_bio_folder
from data.readers.utterances.findings import SPLIT_NAMES, UtteranceFindings
from data.splits import DataError, Problem
from data.utterances import Utterance

Reader = Callable[[Path, str, UtteranceFindings], None]
"""Reads a file; the split is that of sentences that name none."""


def _read_grammar(path: Path, split: str, findings: UtteranceFindings) -> None:
    """Grammars say themselves which split a sentence belongs to."""
    try:
        utterances, problems = grammar.read_grammar(path)
    except DataError as error:
        findings.problems.extend(error.problems)
    else:
        findings.utterances.extend(utterances)
        findings.problems.extend(problems)


_FORMATS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    ((tables.JSON_SUFFIX,), tables.read_json_lines),
    (rasa.SUFFIXES, rasa.read_rasa),
    (conll.SUFFIXES, conll.read_conll),
    ((json_files.SUFFIX,), json_files.read_json),
    (tables.SUFFIXES, tables.read_intent_table),
    ((grammar.SUFFIX,), _read_grammar),
)
_OTHER_SPLIT_NAMES = {"training_data": "train", "test_data": "test", "validate": "validation"}

EXPECTED = (
    "a file of sentences named .jsonl (text, intent and slots with start and end), .yml (Rasa), "
    ".conll (columns of words and BIO tags), .json (Snips or CLINC), .csv or .tsv (text and "
    "intent) or .grammar, a folder of such files, or one with seq.in, seq.out and label files"
)


def read_path(path: Path) -> tuple[list[Utterance], list[Problem]]:
    """Reads sentences in any of the formats.

    `.jsonl`, `.csv` and `.tsv` files: see `tables`; `.yml` and `.yaml`: `rasa`; `.conll`, `.conllu`
    and `.bio`: `conll`; `.json`: `json_files`; `.grammar`: `data.readers.grammar`. A folder holds
    `seq.in`, `seq.out` and `label` files (`bio`) or files of one of these formats, whose own names,
    or those of their folders, may be those of splits: `train.jsonl`, `test/nlu.yml`.

    Args:
        path: A file or a folder.

    Returns:
        The sentences, folder by folder in alphabetical order, and warnings.

    Raises:
        DataError: Lists everything that is wrong.
    """
    findings = UtteranceFindings()
    if path.is_dir() and is_bio_folder(path):
        read_bio_folder(path, findings)
    elif path.is_dir():
        _read_folder(path, findings)
    elif reader := _reader(path):
        reader(path, "train", findings)
    else:
        findings.error(str(path), f"is of no known format; expected {EXPECTED}")
    errors = [problem for problem in findings.problems if problem.severity == "error"]
    if not findings.utterances and not errors:
        errors = [Problem("error", str(path), f"no sentences; expected {EXPECTED}")]
    if errors:
        raise DataError(errors)
    return findings.utterances, findings.problems


def _reader(path: Path) -> Reader | None:
    suffix = path.suffix.lower()
    return next((reader for suffixes, reader in _FORMATS if suffix in suffixes), None)


def _read_folder(root: Path, findings: UtteranceFindings) -> None:
    paths = list(_visible_files(root))
    readers = {_reader(path) for path in paths} - {None}
    if len(readers) > 1:
        found = ", ".join(sorted({path.suffix for path in paths if _reader(path)}))
        findings.error(str(root), f"files of several formats: {found}; expected one per folder")
        return
    for path in paths:
        reader = _reader(path)
        whole = path.with_stem(f"{path.stem}_full")
        if path.suffix == json_files.SUFFIX and whole in paths:
            findings.warning(str(path), f"ignored: a part of {whole.name}, as Snips has it")
        elif reader:
            reader(path, _split_of(path, root), findings)


def _visible_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and not hidden:
            yield path


def _split_of(path: Path, root: Path) -> str:
    """The split that a file or the nearest of its folders is named as, by default train."""
    names = {**SPLIT_NAMES, **_OTHER_SPLIT_NAMES}
    # Snips has one file per intent and split: train_PlayMusic.json.
    stem = path.stem.partition("_")[0] if path.suffix == json_files.SUFFIX else path.stem
    for name in (stem, *(folder.name for folder in path.relative_to(root).parents)):
        if name.lower() in names:
            return names[name.lower()]
    return "train"
