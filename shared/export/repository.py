"""The model repository: one folder per app, one numbered folder per version."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree


class ModelError(ValueError):
    """A folder that holds no model of this app; the message says what was expected."""


@contextmanager
def staging_folder(repository: Path, app: str) -> Iterator[Path]:
    """A folder beside the versions of `app` that a server does not look at; removed afterwards."""
    (repository / app).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=repository / app))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def publish(staged: Path) -> Path:
    """Gives a finished model the next version number, by one rename.

    A server that looks at the repository sees the whole model or nothing. Of two processes that
    publish at once, the second finds its number taken and gets the next.

    Args:
        staged: A complete model in `staging_folder`.

    Returns:
        The version's folder.
    """
    _flush(staged)
    version = max(versions(staged.parent), default=0) + 1
    while True:
        target = staged.parent / str(version)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            version += 1
        else:
            _flush_folder(target.parent)
            return target


def versions(folder: Path) -> list[int]:
    """The version numbers in an app's folder, ascending."""
    return sorted(int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdecimal())


def find_version(path: Path) -> Path:
    """The version folder that `path` is or holds.

    Raises:
        ModelError: Neither `path` nor a numbered folder in it holds a `saved_model.pb`.
    """
    numbered = [p for p in path.glob("*") if p.name.isdecimal() and (p / "saved_model.pb").exists()]
    if (path / "saved_model.pb").exists():
        return path
    if not numbered:
        raise ModelError(
            f"{path} holds no exported model: expected a saved_model.pb in it, or in a folder "
            "named by a version number. Train one first, or pass its folder with --model."
        )
    return max(numbered, key=lambda p: int(p.name))


def _flush(folder: Path) -> None:
    """Puts every file on disk, so that a power loss after the rename leaves no empty file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
