"""Words with BIO tags in folders of `seq.in`, `seq.out` and `label`, one sentence per line."""

from __future__ import annotations

from pathlib import Path

from data.readers.utterances.findings import SPLIT_NAMES, UtteranceFindings
from data.readers.utterances.tags import TagReader, joined_spans
from data.utterances import Utterance

FILES = ("seq.in", "seq.out", "label")


def is_bio_folder(root: Path) -> bool:
    """Whether a folder, or one of its folders named as splits, holds one of the three files."""
    return bool(_split_folders(root))


def read_bio_folder(root: Path, findings: UtteranceFindings) -> None:
    """Reads `seq.in` (words), `seq.out` (their tags) and `label` (the intents).

    Args:
        root: A folder with the three files, or with folders named `train`, `validation` (`val`,
            `valid`, `dev`) and `test` that hold them.
        findings: Takes the sentences, their words joined by one space, and the problems.
    """
    for split, folder in _split_folders(root):
        words, tags, intents = (folder / name for name in FILES)
        read_bio_files(words, tags, intents, split, findings)


def read_bio_files(
    words: Path, tags: Path, intents: Path, split: str, findings: UtteranceFindings
) -> None:
    """Reads three files of one line per sentence.

    Args:
        words: Words separated by white space.
        tags: A tag for each word.
        intents: The intent of each sentence.
        split: The split of these sentences.
        findings: Takes the sentences and the problems.
    """
    texts = [findings.read_text(path) for path in (words, tags, intents)]
    columns = [text.removesuffix("\n").split("\n") for text in texts if text is not None]
    if len(columns) < len(FILES):
        return
    if len({len(column) for column in columns}) > 1:
        found = ", ".join(f"{name} {len(c)}" for name, c in zip(FILES, columns, strict=True))
        findings.error(str(words.parent), f"different numbers of lines: {found}; expected one each")
        return
    reader = TagReader(words, findings)
    for line, row in enumerate(zip(*columns, strict=True), start=1):
        if any(part.strip() for part in row):
            where, tokens = f"{words}:{line}", row[0].split()
            slots = reader.slots(joined_spans(tokens), row[1].split(), where)
            if slots is not None:
                findings.add(Utterance(" ".join(tokens), row[2], slots, split, where))
    reader.finish()


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    if any((root / name).is_file() for name in FILES):
        return [("train", root)]
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return [
        (SPLIT_NAMES[folder.name.lower()], folder)
        for folder in folders
        if folder.name.lower() in SPLIT_NAMES and any((folder / name).is_file() for name in FILES)
    ]
