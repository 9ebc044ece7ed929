"""Recordings in one folder per word, as Speech Commands has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.readers.folders import (
    ignore_files,
    split_folders,
    visible_files,
    visible_folders,
    walk,
)
from data.readers.recordings.findings import RecordingFindings
from data.recordings import BACKGROUND_NOISE, Recording

SUFFIXES = (
    ".wav .flac .ogg .oga .opus .mp3 .m4a .mp4 .aac .wma .webm .aif .aiff .aifc .au .snd .caf .w64 "
    ".rf64 .amr .3gp .sph"
).split()

LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
"""The files that list what is not to be trained on, and the split of what they list."""

_SPEAKER_END = "_nohash_"
_MAX_NAMED = 3


def read_word_folders(root: Path, findings: RecordingFindings) -> None:
    """Reads each sound file of each folder as a recording of the word that the folder is named.

    Files of `validation_list.txt` and `testing_list.txt` belong to these splits. What stands
    before `_nohash_` in a file's name is its speaker. What is in `_background_noise_` is noise.

    Args:
        root: A folder of folders of words, or of `train`, `validation` (`val`, `valid`, `dev`)
            and `test` folders that hold them.
        findings: Takes the recordings and the problems.
    """
    listed = _listed(root, findings)
    for split, folder in split_folders(root, findings):
        outside = [path for path in visible_files(folder) if path.name not in LISTS]
        ignore_files(folder, outside, "outside the folders of words", findings)
        for word_folder in visible_folders(folder):
            for path in _sound_files(word_folder, findings):
                name = path.relative_to(root).as_posix()
                speaker = _speaker(path, word_folder.name)
                recording = Recording(
                    str(path), word_folder.name, split=listed.get(name, split), speaker=speaker
                )
                findings.add(recording, str(path))


def _listed(root: Path, findings: RecordingFindings) -> Mapping[str, str]:
    """The split of each file that is listed as one not to train on."""
    listed: dict[str, str] = {}
    for name, split in LISTS.items():
        path = root / name
        lines = (findings.read_text(path) or "").split("\n") if path.is_file() else []
        names = [line.strip() for line in lines if line.strip()]
        _report_missing(root, path, names, findings)
        listed.update(dict.fromkeys(names, split))
    return listed


def _report_missing(root: Path, path: Path, names: list[str], findings: RecordingFindings) -> None:
    """Warns once: who took a few words out of Speech Commands left its lists as they are."""
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        shown = ", ".join(missing[:_MAX_NAMED]) + (", …" if len(missing) > _MAX_NAMED else "")
        message = f"files that are not there, {len(missing)} of {len(names)}: {shown}"
        findings.warning(str(path), message)


def _sound_files(folder: Path, findings: RecordingFindings) -> list[Path]:
    paths = list(walk(folder))
    others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
    ignore_files(folder, others, f"not named {' '.join(SUFFIXES)}", findings)
    return [path for path in paths if path.suffix.lower() in SUFFIXES]


def _speaker(path: Path, word: str) -> str:
    before, found, _ = path.stem.partition(_SPEAKER_END)
    return before if found and word != BACKGROUND_NOISE else ""
