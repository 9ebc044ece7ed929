import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.readers import LabelledFile, group_by_split
from data.readers.image_folder import read_image_folder
from data.readers.table import read_table
from data.splits import DataError


def write_image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    return path


def found(root: Path) -> list[tuple[str, str, str]]:
    files, _ = read_image_folder(root)
    return [(str(Path(file.path).relative_to(root)), file.label, file.split) for file in files]


def ignored(root: Path) -> dict[str, str]:
    _, problems = read_image_folder(root)
    return {str(Path(p.where).relative_to(root)): p.message for p in problems}


def test_the_first_folder_names_the_class(tmp_path):
    for name in ("dog/b.PNG", "dog/deep/er/a.jpeg", "cat/c.gif"):
        write_image(tmp_path / name)
    assert found(tmp_path) == [
        ("cat/c.gif", "cat", "train"),
        ("dog/b.PNG", "dog", "train"),
        ("dog/deep/er/a.jpeg", "dog", "train"),
    ]


def test_hidden_files_are_skipped_and_others_are_reported(tmp_path):
    for name in ("cat/a.png", "cat/.hidden.png", ".git/b.png", "cat/.cache/c.png", "stray.png"):
        write_image(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    assert [name for name, _, _ in found(tmp_path)] == ["cat/a.png"]
    messages = ignored(tmp_path)
    assert set(messages) == {"cat/notes.txt", "empty", "stray.png"}
    assert "not one of .jpg" in messages["cat/notes.txt"]
    assert "not in a class folder" in messages["stray.png"]


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_split_folders(tmp_path, validation):
    for split in ("train", validation, "test"):
        write_image(tmp_path / split / "cat" / "a.png")
    write_image(tmp_path / "extra" / "cat" / "a.png")
    assert {split for _, _, split in found(tmp_path)} == {"train", "validation", "test"}
    assert list(ignored(tmp_path)) == ["extra"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train/a.png", "train/old/b.png", "car/a.png"):
        write_image(tmp_path / name)
    assert {(label, split) for _, label, split in found(tmp_path)} == {
        ("train", "train"),
        ("car", "train"),
    }


def test_split_folders_without_classes_are_an_error(tmp_path):
    write_image(tmp_path / "train" / "a.png")
    write_image(tmp_path / "test" / "a.png")
    with pytest.raises(DataError, match="no images in class folders; expected"):
        read_image_folder(tmp_path)


def test_links(tmp_path):
    write_image(tmp_path / "elsewhere" / "a.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    assert found(root) == [("cat/a.png", "cat", "train")]
    assert list(ignored(root)) == ["cat/loop"]
    for name in ("b.png", "c.png"):
        (tmp_path / "elsewhere" / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be opened") as caught:
        read_image_folder(root)
    assert len(caught.value.problems) == 2


def test_classes_are_numbered_in_alphabetical_order_over_all_splits():
    files = [
        LabelledFile("1", "dog", "train"),
        LabelledFile("2", "ant", "test"),
        LabelledFile("3", "cat", "train"),
    ]
    labels, splits = group_by_split(files)
    assert labels == ("ant", "cat", "dog")
    assert {name: split.labels.tolist() for name, split in splits.items()} == {
        "train": [2, 1],
        "test": [0],
    }
    assert splits["train"].ids.tolist() == ["1", "3"]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b, c.png"):
        write_image(tmp_path / name)
    return tmp_path


def write_table(folder: Path, content: str | bytes, suffix: str = ".csv") -> Path:
    table = folder / f"table{suffix}"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    return table


def faults(table: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_table(table)
    return [
        f"{problem.where.removeprefix(str(table) + ':')}: {problem.message}"
        for problem in caught.value.problems
    ]


FILES = [("a.png", "cat", "train"), ("b, c.png", "dog", "validation")]
TABLES = {
    "plain.csv": 'path,label,split\na.png,cat,\n"b, c.png",dog,val\n',
    "bom.csv": '\ufeffPath, Label ,split\r\na.png,cat,train\r\n\r\n"b, c.png", dog,Valid\r\n',
    "extra.csv": 'id,split,label,path\n"1\n2",,cat,a.png\n2,validation,dog,"b, c.png"\n',
    "plain.tsv": "path\tlabel\tsplit\na.png\tcat\ttrain\nb, c.png\tdog\tvalidation\n",
    "plain.jsonl": '{"path": "a.png", "label": "cat", "split": null}\n\n'
    '{"path": "b, c.png", "label": "dog", "split": "val", "more": [1]}',
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(folder, name):
    table = folder / name
    table.write_bytes(TABLES[name].encode())
    assert [(Path(f.path).name, f.label, f.split) for f in read_table(table)] == FILES


def test_json_labels_may_be_numbers(folder):
    table = write_table(folder, '{"path": "a.png", "label": 7}', ".jsonl")
    assert read_table(table)[0].label == "7"


def test_all_faults_of_a_csv_are_listed_at_once(folder):
    content = "path,label,split\n,cat,\na.png, ,\nnone.png,cat,dev\na.png,cat\na.png,cat,train\n"
    first, second, third, fourth, fifth = faults(write_table(folder, content))
    assert first == "2: empty path"
    assert second.startswith("3: label ' '; expected one line")
    assert third.startswith("4: no file") and "relative to the folder of the table" in third
    assert fourth.startswith("4: unknown split 'dev'; expected one of train, validation")
    assert fifth.startswith("5: 2 values for 3 columns")


def test_a_record_is_named_by_its_first_line(folder):
    content = 'path,label,note\na.png,cat,"two\nlines"\nnone.png,cat,"two\nlines"\n'
    assert faults(write_table(folder, content))[0].startswith("4: no file")


@pytest.mark.parametrize(
    ("content", "suffix", "expected"),
    [
        ("", ".csv", "1: no column path or label among []"),
        ("path,label\n", ".csv", "1: no rows"),
        ("path;label\na.png;cat\n", ".csv", "1: no column path or label among ['path;label']"),
        ("file,label\na.png,cat\n", ".csv", "1: no column path among ['file', 'label']"),
        ('path,label\na.png,cat\na.png,"cat\n', ".csv", "3: cannot be parsed from here on"),
        (b"path,label\na.png,caf\xe9\n", ".csv", "2: not UTF-8 text"),
        ("", ".jsonl", "1: no rows"),
        ('\n{"path": 1', ".jsonl", "2: not JSON"),
        ("[" * 100_000, ".jsonl", "1: not JSON"),
        ("[1]", ".jsonl", "1: expected an object with path and label, found list"),
        ('{"path": "a.png"}', ".jsonl", "1: no label among ['path']"),
        ('{"path": "a.png", "label": ["cat"]}', ".jsonl", "1: label must be text"),
        ('{"path": "a.png", "label": true}', ".jsonl", "1: label must be text"),
        ('{"path": "a.png", "label": "c\\nt"}', ".jsonl", "1: label 'c\\nt'; expected one line"),
        ('{"path": "a.png", "label": "\\ud800"}', ".jsonl", "1: label '\\ud800'; expected one"),
        ('{"path": "\\u0000", "label": "cat"}', ".jsonl", "1: no file"),
        (json.dumps({"path": "a" * 5000, "label": "cat"}), ".jsonl", "1: no file"),
    ],
)
def test_faults(folder, content, suffix, expected):
    (fault,) = faults(write_table(folder, content, suffix))
    assert fault.startswith(expected)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_files_without_read_permission(folder):
    (folder / "a.png").chmod(0)
    assert faults(write_table(folder, "path,label\na.png,cat\n"))[0].startswith("2: no right")


cells = st.sampled_from(["path", "label", "split", "a.png", ",", "\t", "\n", "\r", '"', "{", "}"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@given(content=st.one_of(st.binary(), st.lists(st.one_of(cells, st.text())).map("".join)))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_text_raises_nothing_but_data_errors(folder, suffix, content):
    raw = content if isinstance(content, bytes) else content.encode()
    try:
        files = read_table(write_table(folder, raw, suffix))
    except DataError as error:
        assert all(problem.severity == "error" for problem in error.problems)
    else:
        assert files


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=5,
)
keys = st.sampled_from(["path", "label", "split", "more"])


@given(records=st.lists(st.one_of(json_values, st.dictionaries(keys, json_values)), min_size=1))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_json_raises_nothing_but_data_errors(folder, records):
    table = write_table(folder, "\n".join(map(json.dumps, records)), ".jsonl")
    assert len(faults(table)) >= 1
