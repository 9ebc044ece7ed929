from pathlib import Path

import pytest

from data.readers.texts import read_path
from data.splits import DataError
from data.texts import Text, TextFields

GUESSED = TextFields()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, labelled: bool = True) -> list[Text]:
    texts, problems = read_path(path, GUESSED, labelled=labelled)
    assert problems == []
    return texts


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path, GUESSED)
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_class_folders(tmp_path):
    for name in ("neg/b.txt", "pos/a.TXT", "pos/more/c.txt", ".git/x/d.txt", "neg/.e.txt"):
        write(tmp_path / name, f"\n{name}\r\nis here\n")
    root = str(tmp_path)
    assert read(tmp_path) == [
        Text("neg/b.txt\nis here", ("neg",), "train", f"{root}/neg/b.txt"),
        Text("pos/a.TXT\nis here", ("pos",), "train", f"{root}/pos/a.TXT"),
        Text("pos/more/c.txt\nis here", ("pos",), "train", f"{root}/pos/more/c.txt"),
    ]


def test_class_folders_below_folders_of_splits(tmp_path):
    for name in ("train/pos/a.txt", "train/unsup/b.txt", "Test/neg/c.txt", "dev/pos/d.txt"):
        write(tmp_path / name, name)
    for name in ("README", "train/urls.txt", "train/pos/x.feat", "train/pos/y.feat", "old/z.txt"):
        write(tmp_path / name, "ignored")
    texts, problems = read_path(tmp_path, GUESSED, labelled=True)
    assert [(text.text, text.labels, text.split) for text in texts] == [
        ("Test/neg/c.txt", ("neg",), "test"),
        ("dev/pos/d.txt", ("pos",), "validation"),
        ("train/pos/a.txt", ("pos",), "train"),
    ]
    assert {(problem.severity, problem.where, problem.message) for problem in problems} == {
        ("warning", str(tmp_path), "ignored files outside the folders of the splits: 1 README"),
        (
            "warning",
            str(tmp_path / "old"),
            "ignored: not one of the splits train validation val valid test dev",
        ),
        ("warning", str(tmp_path / "train"), "ignored files outside the class folders: 1 .txt"),
        ("warning", str(tmp_path / "train" / "pos"), "ignored files not named .txt: 2 .feat"),
        (
            "warning",
            str(tmp_path / "train" / "unsup"),
            "ignored: named as texts without labels",
        ),
    }


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus/a.txt", "train/b.txt", "tram/c.txt"):
        write(tmp_path / name, name)
    assert [text.labels for text in read(tmp_path)] == [("bus",), ("train",), ("tram",)]


def test_folders_of_whole_texts(tmp_path):
    names = ("a.txt", "deep/er/b.txt", "dev.txt", "test/c.txt", "train/pos/d.txt", "x/val/y/e.txt")
    for name in names:
        write(tmp_path / name, f"{name}\nhas lines")
    found = [(text.text, text.split) for text in read(tmp_path, labelled=False)]
    splits = ("train", "train", "train", "test", "train", "validation")
    assert sorted(found) == [
        (f"{name}\nhas lines", s) for name, s in zip(names, splits, strict=True)
    ]


@pytest.mark.parametrize(
    ("suffix", "labelled"), [("csv", True), ("tsv", True), ("jsonl", False), ("txt", False)]
)
def test_files_named_as_splits(tmp_path, suffix, labelled):
    content = {
        "csv": "text,label\n{},x\n",
        "tsv": "label\ttext\nx\t{}\n",
        "jsonl": '{{"text": "{}"}}\n',
        "txt": "{}\n",
    }[suffix]
    for name in ("train", "valid", "test", "other"):
        write(tmp_path / f"{name}.{suffix}", content.format(f"{name} 1"))
    texts, problems = read_path(tmp_path, GUESSED, labelled=labelled)
    assert {text.text: text.split for text in texts} == {
        "train 1": "train",
        "valid 1": "validation",
        "test 1": "test",
    }
    assert [text.labels for text in texts] == [("x",) if labelled else ()] * 3
    (problem,) = problems
    assert problem.where == str(tmp_path / f"other.{suffix}")
    assert problem.message.startswith("ignored: not one of the splits train")


def test_tables_of_a_folder_are_training_data_unless_named_otherwise(tmp_path):
    write(tmp_path / "1.csv", "text,label\na,x\n")
    write(tmp_path / "2.csv", "text,label,split\nb,x,test\n")
    assert [(text.text, text.split) for text in read(tmp_path)] == [("a", "train"), ("b", "test")]


def test_folders_of_tables_of_several_formats_are_refused(tmp_path):
    write(tmp_path / "train.csv", "text,label\na,x\n")
    write(tmp_path / "test.jsonl", '{"text": "a", "label": "x"}')
    with pytest.raises(DataError, match=r"tables of several formats: \.csv, \.jsonl; expected one"):
        read_path(tmp_path, GUESSED)


def test_all_faults_of_a_folder_are_listed_at_once(tmp_path):
    write(tmp_path / "neg" / "a.txt", " \n")
    write(tmp_path / "neg" / "b.txt", "one\ncaf\xe9".encode("latin-1"))
    write(tmp_path / "pos" / "c.txt", "one\ntwo\0\n")
    write(tmp_path / "pos" / "d.txt", "fine")
    assert [fault.removeprefix(f"{tmp_path}/") for fault in faults(tmp_path)] == [
        "neg/a.txt: empty text",
        "neg/b.txt:2: not UTF-8 text (unexpected end of data); save the file as UTF-8",
        "pos/c.txt:2: NUL character: no text, or UTF-16; save it as UTF-8",
    ]


@pytest.mark.parametrize("name", ["data.docx", "empty.jsonl", "folder", "labelled.txt"])
def test_what_holds_no_texts_says_what_is_accepted(tmp_path, name):
    path = tmp_path / name
    path.touch() if path.suffix else path.mkdir()
    with pytest.raises(DataError, match=r"expected a table named \.csv, .* folder of \.txt files"):
        read_path(path, GUESSED)
    with pytest.raises(DataError, match=r"expected a \.txt file of one text per line, a table"):
        read_path(path, GUESSED, labelled=False)


def test_files_that_cannot_be_opened(tmp_path):
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "a.txt").symlink_to(tmp_path / "nowhere")
    (fault,) = faults(tmp_path)
    assert fault.endswith("a.txt:1: cannot be read: No such file or directory")
