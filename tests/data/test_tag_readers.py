"""Readers of words with BIO tags: folders of three files, and columns."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from data.readers.utterances import read_path
from data.readers.utterances.findings import UtteranceFindings
from data.readers.utterances.tags import TagReader, joined_spans
from data.splits import DataError
from data.utterances import Slot, Utterance


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def write_folder(folder: Path, words: str, tags: str, intents: str) -> Path:
    for name, content in (("seq.in", words), ("seq.out", tags), ("label", intents)):
        write(folder / name, content)
    return folder


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path)
    return [
        f"{problem.where.removeprefix(str(path))}: {problem.message}"
        for problem in caught.value.problems
    ]


def values(utterance: Utterance) -> dict[str, str]:
    return {slot.name: utterance.text[slot.start : slot.end] for slot in utterance.slots}


def test_folders_of_three_files(tmp_path):
    write_folder(tmp_path / "train", "fly  to new york \nhi", "O O B-city I-city \nO", "fly\ngreet")
    write_folder(tmp_path / "valid", "to élan 😀 x\n", "O B-a B-b I-b\n", "go#run\n")
    write_folder(tmp_path / "test", "no one\n\n", "O O\n\n", "oos\n\n")
    utterances, problems = read_path(tmp_path)
    assert problems == []
    assert utterances == [
        Utterance("no one", "out_of_scope", (), "test", f"{tmp_path}/test/seq.in:1"),
        Utterance(
            "fly to new york", "fly", (Slot("city", 7, 15),), "train", f"{tmp_path}/train/seq.in:1"
        ),
        Utterance("hi", "greet", (), "train", f"{tmp_path}/train/seq.in:2"),
        Utterance(
            "to élan 😀 x",
            "go#run",
            (Slot("a", 3, 7), Slot("b", 8, 11)),
            "validation",
            f"{tmp_path}/valid/seq.in:1",
        ),
    ]


@pytest.mark.parametrize("name", ["val", "dev", "validation", "Valid"])
def test_names_of_the_validation_folder(tmp_path, name):
    for folder in ("train", name):
        write_folder(tmp_path / folder, "a", "O", "x")
    assert {utterance.split for utterance in read_path(tmp_path)[0]} == {"train", "validation"}


def test_one_folder_without_splits(tmp_path):
    write_folder(tmp_path, "a\nb\n", "O\nB-x\n", "i\nj\n")
    utterances, _ = read_path(tmp_path)
    assert [(u.text, u.intent, u.split) for u in utterances] == [
        ("a", "i", "train"),
        ("b", "j", "train"),
    ]


def test_all_faults_of_a_folder_are_listed_at_once(tmp_path):
    words = "a b\na\n\na\na\n"
    tags = "O\nS-x\nO\nO\nB-\n"
    found = faults(write_folder(tmp_path, words, tags, "i\ni\ni\n\ni\n"))
    assert found == [
        "/seq.in:1: 2 words and 1 tags; expected one tag per word",
        "/seq.in:2: unknown tags 'S-x'; expected O, B-NAME or I-NAME",
        "/seq.in:3: 0 words and 1 tags; expected one tag per word",
        "/seq.in:4: intent ''; expected one line of text that is not empty",
        "/seq.in:5: unknown tags 'B-'; expected O, B-NAME or I-NAME",
    ]


def test_files_of_different_lengths_and_missing_files(tmp_path):
    write_folder(tmp_path, "a\nb\n", "O\n", "i\nj\n")
    assert faults(tmp_path) == [
        ": different numbers of lines: seq.in 2, seq.out 1, label 2; expected one each"
    ]
    (tmp_path / "label").unlink()
    assert faults(tmp_path) == ["/label:1: cannot be read: No such file or directory"]


def test_stray_tags_begin_a_slot_and_are_counted(tmp_path):
    write_folder(tmp_path, "a b c\nd\ne\nf", "I-x I-y O\nI-x\nB-x\nI-x", "i\ni\ni\ni")
    utterances, (problem,) = read_path(tmp_path)
    assert [values(utterance) for utterance in utterances] == [
        {"x": "a", "y": "b"},
        {"x": "d"},
        {"x": "e"},
        {"x": "f"},
    ]
    assert (problem.severity, problem.where) == ("warning", f"{tmp_path}/seq.in")
    assert problem.message.startswith("4 I- tags do not continue a slot")
    assert problem.message.count(f"I-x in {tmp_path}/seq.in:2") == 1
    assert problem.message.endswith("…")


tags = st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "B-a-b", "I-a-b"]), max_size=12)


@given(tags)
def test_slots_are_those_of_seqeval(sequence):
    words = ["w" * (1 + index % 3) for index in range(len(sequence))]
    spans = joined_spans(words)
    slots = TagReader(Path("x"), UtteranceFindings()).slots(spans, sequence, "x:1")
    expected = [
        Slot(name, spans[first][0], spans[last][1]) for name, first, last in get_entities(sequence)
    ]
    assert list(slots) == expected
    text = " ".join(words)
    assert [text[start:end] for start, end in spans] == words


COLUMNS = """-DOCSTART- -X- O

# intent: fly
# id: 7
to\tIN\tO
New\tNN\tB-city
York\tNN\tI-city

# intent = greet
# text = Hi, #1 there!
Hi\tO
,\tO
#1\tB-number
there!\tO


# only a comment
# intent: number
#\tB-hash
"""


def test_columns(tmp_path):
    path = write(tmp_path / "data.conll", COLUMNS)
    utterances, problems = read_path(path)
    assert problems == []
    assert utterances == [
        Utterance("to New York", "fly", (Slot("city", 3, 11),), "train", f"{path}:5"),
        Utterance("Hi, #1 there!", "greet", (Slot("number", 4, 6),), "train", f"{path}:11"),
        Utterance("#", "number", (Slot("hash", 0, 1),), "train", f"{path}:19"),
    ]


def test_numbered_columns(tmp_path):
    content = "# text: set alarm\n# intent: alarm/set\n1\tset\talarm/set\tO\n2\talarm\t_\tB-what\n"
    utterances, _ = read_path(write(tmp_path / "data.conllu", content))
    assert [(u.text, u.intent, values(u)) for u in utterances] == [
        ("set alarm", "alarm/set", {"what": "alarm"})
    ]


def test_folders_of_columns(tmp_path):
    for name in ("train", "valid", "test"):
        write(tmp_path / f"{name}.conll", f"# intent: {name}\na O\n")
    assert {(u.intent, u.split) for u in read_path(tmp_path)[0]} == {
        ("train", "train"),
        ("valid", "validation"),
        ("test", "test"),
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a O\n", ":1: no intent; expected a line `# intent: NAME` above the words"),
        ("# intent: x\na O\nb\n", ":3: 1 columns; expected at least 2, the word first"),
        ("# intent: x\na E-x\n", ":2: unknown tags 'E-x'"),
        ("# intent: x\n# text: ab c\na O\nc O\n", ":3: the words 'a c' do not make up the text"),
        ("# intent: x\n# text: a b\na O\n", ":3: the words 'a' do not make up the text 'a b'"),
        ("# intent:\na O\n", ":2: intent ''; expected one line"),
        ("# intent: x\n\na O\n", ":3: no intent"),
    ],
)
def test_faults_of_columns(tmp_path, content, expected):
    (fault,) = faults(write(tmp_path / "data.bio", content))
    assert fault.startswith(expected)
