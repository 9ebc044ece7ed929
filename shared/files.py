"""Files that are written as a whole or not at all, and read one by one."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Writes a file under another name, flushes it to disk and renames it.

    A process that is killed, or a full disk, leaves the file that was there before.

    Args:
        path: The file; its folder is made.
        content: Bytes, text (UTF-8), or a function that writes to the open binary file.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_files(paths: Sequence[str | Path]) -> tuple[list[bytes], list[str]]:
    """Reads files; one that cannot be read is empty and has an error.

    Returns:
        Contents and errors, one each per path; an error is empty or a short code and the reason.
    """
    contents, errors = [], []
    for path in paths:
        try:
            contents.append(Path(path).read_bytes())
            errors.append("")
        except OSError as error:
            contents.append(b"")
            errors.append(f"unreadable: {error.strerror}")
    return contents, errors
