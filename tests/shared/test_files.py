import os
import stat

import pytest

from shared.files import write_atomically


def fail_to_sync(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "content",
    [b"gr\xc3\xbcn\n", "grün\n", lambda file: file.write(b"gr\xc3\xbcn\n")],
    ids=["bytes", "text", "function"],
)
def test_every_form_of_content_is_written_as_it_is(tmp_path, content):
    write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"gr\xc3\xbcn\n"


@pytest.mark.parametrize("content", [b"", ""])
def test_empty_content_is_an_empty_file(tmp_path, content):
    write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_atomically(tmp_path / "file", "a long first version")
    write_atomically(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "second"
    assert os.listdir(tmp_path) == ["file"]


def test_parent_folders_are_made(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "file", "text")
    assert (tmp_path / "a" / "b" / "file").read_text() == "text"


def test_everyone_may_read_the_file(tmp_path):
    former = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", "text")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fsync", fail_to_sync)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_raises_leaves_the_old_file(tmp_path, error):
    def write(file):
        file.write(b"half")
        raise error

    write_atomically(tmp_path / "file", "old")
    with pytest.raises(error):
        write_atomically(tmp_path / "file", write)
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_in_the_way_is_an_error_without_leftovers(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "file", "text")
    assert os.listdir(tmp_path) == ["file"]
