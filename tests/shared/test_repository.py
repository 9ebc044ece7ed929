import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.export import repository
from shared.export.repository import publish, staging_folder, versions

ROOT = Path(repository.__file__).parents[2]
PUBLISHER = """
import sys
from pathlib import Path
from shared.export.repository import publish, staging_folder

print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with staging_folder(Path(sys.argv[1]), "app") as folder:
        (folder / "saved_model.pb").write_text("x" * 10_000)
        (folder / "variables").mkdir()
        (folder / "variables" / "data").write_text("y" * 10_000)
        print(publish(folder).name)
"""


def publish_one(root: Path, content: str = "graph") -> Path:
    with staging_folder(root, "app") as folder:
        (folder / "saved_model.pb").write_text(content)
        return publish(folder)


def is_complete(version: Path) -> bool:
    files = (version / "saved_model.pb", version / "variables" / "data")
    return [file.stat().st_size for file in files] == [10_000, 10_000]


def test_versions_are_numbered_from_one_and_nothing_else_is_left(tmp_path):
    published = [publish_one(tmp_path, f"graph {n}") for n in range(11)]
    assert published == [tmp_path / "app" / str(n + 1) for n in range(11)]
    assert (tmp_path / "app" / "11" / "saved_model.pb").read_text() == "graph 10"
    assert versions(tmp_path / "app") == list(range(1, 12))  # ascending numbers, not names
    assert {path.name for path in (tmp_path / "app").iterdir()} == {str(n) for n in range(1, 12)}


def test_the_next_number_follows_the_highest_and_gaps_stay(tmp_path):
    for number in ("3", "00007"):
        (tmp_path / "app" / number).mkdir(parents=True)
    assert publish_one(tmp_path).name == "8"


def test_other_folders_and_files_are_no_versions(tmp_path):
    app = tmp_path / "app"
    for name in ("notes", "v9", "1.5", "-4", "9 "):
        (app / name).mkdir(parents=True)
    (app / "12").write_text("a file")
    assert versions(app) == []
    assert publish_one(tmp_path).name == "1"
    assert (app / "notes").is_dir() and (app / "12").read_text() == "a file"


def test_apps_are_numbered_apart(tmp_path):
    publish_one(tmp_path)
    with staging_folder(tmp_path, "other") as folder:
        assert publish(folder) == tmp_path / "other" / "1"


def test_a_staging_folder_is_never_a_version_and_is_removed_on_failure(tmp_path):
    with pytest.raises(RuntimeError, match="verification"), staging_folder(tmp_path, "app") as one:
        (one / "saved_model.pb").write_text("half")
        with staging_folder(tmp_path, "app") as other:
            assert one != other and one.parent == other.parent == tmp_path / "app"
            assert versions(tmp_path / "app") == []
            assert not one.name.isdecimal() and not other.name.isdecimal()
        raise RuntimeError("verification")
    assert list((tmp_path / "app").iterdir()) == []


def test_a_published_version_can_be_read_by_another_user(tmp_path):
    assert publish_one(tmp_path).stat().st_mode & 0o777 == 0o755


def test_a_number_taken_in_the_meantime_is_left_alone(tmp_path, monkeypatch):
    """What the slower of two processes sees: its list of versions is out of date."""
    publish_one(tmp_path, "first")
    monkeypatch.setattr(repository, "versions", lambda folder: [])
    assert publish_one(tmp_path, "second").name == "2"
    assert (tmp_path / "app" / "1" / "saved_model.pb").read_text() == "first"


def test_an_error_that_is_no_collision_is_raised(tmp_path):
    with staging_folder(tmp_path, "app") as folder:
        folder.rmdir()
        with pytest.raises(FileNotFoundError):
            publish(folder)


def test_processes_that_publish_at_once_get_different_numbers(tmp_path):
    rounds, processes = 40, []
    for _ in range(2):
        command = [sys.executable, "-c", PUBLISHER, str(tmp_path), str(rounds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        processes.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    deadline = time.monotonic() + 60
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        assert all(is_complete(tmp_path / "app" / str(n)) for n in versions(tmp_path / "app"))
    numbers = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(numbers) == list(range(1, 2 * rounds + 1))
    assert versions(tmp_path / "app") == sorted(numbers)
    assert len(list((tmp_path / "app").iterdir())) == 2 * rounds
