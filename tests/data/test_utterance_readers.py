import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.readers.utterances import read_path
from data.readers.utterances.findings import UtteranceFindings
from data.splits import DataError
from data.utterances import OUT_OF_SCOPE, Slot, Utterance


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(path: Path, *rows: object) -> Path:
    return write(path, "\n".join(map(json.dumps, rows)))


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path)
    return [
        f"{problem.where.removeprefix(str(path) + ':')}: {problem.message}"
        for problem in caught.value.problems
    ]


def test_json_lines(tmp_path):
    path = write_rows(
        tmp_path / "data.jsonl",
        {"text": "fly to paris", "intent": "fly", "slots": [{"name": "to", "start": 7, "end": 12}]},
        {"text": "hi", "intent": "greet", "split": "dev", "note": 1},
        {"text": "😀 é", "intent": "smile", "slots": [{"entity": "e", "start": 2, "end": 3}]},
        {"text": "x", "intent": "oos", "slots": None, "split": None},
        {
            "text": "from oslo to rome",
            "intent": "fly",
            "slots": [
                {"slot": "to", "start": 13, "end": 17, "value": "rome"},
                {"slot": "from", "start": 5, "end": 9, "value": None},
            ],
            "split": "Test",
        },
    )
    utterances, problems = read_path(path)
    assert problems == []
    assert utterances == [
        Utterance("fly to paris", "fly", (Slot("to", 7, 12),), "train", f"{path}:1"),
        Utterance("hi", "greet", (), "validation", f"{path}:2"),
        Utterance("😀 é", "smile", (Slot("e", 2, 3),), "train", f"{path}:3"),
        Utterance("x", OUT_OF_SCOPE, (), "train", f"{path}:4"),
        Utterance(
            "from oslo to rome",
            "fly",
            (Slot("from", 5, 9), Slot("to", 13, 17)),
            "test",
            f"{path}:5",
        ),
    ]


def test_white_space_around_texts_and_slots_goes(tmp_path):
    slots = [{"name": "a", "start": 0, "end": 4}, {"name": "b", "start": 4, "end": 8}]
    row = {"text": "  x  y \n", "intent": " i ", "slots": slots}
    ((utterance,), _) = read_path(write_rows(tmp_path / "data.jsonl", row))
    assert (utterance.text, utterance.intent) == ("x  y", "i")
    assert utterance.slots == (Slot("a", 0, 1), Slot("b", 3, 4))


def slot(start: object, end: object, name: object = "city", **more: object) -> dict[str, object]:
    return {"name": name, "start": start, "end": end, **more}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1], "expected an object"),
        ({"intent": "x"}, "text must be text, found None"),
        ({"text": 7, "intent": "x"}, "text must be text, found 7"),
        ({"text": "a"}, "intent must be text, found None"),
        ({"text": " ", "intent": "x"}, "empty text"),
        ({"text": "a", "intent": " "}, "intent ' '; expected one line"),
        ({"text": "a", "intent": "x\ny"}, "intent 'x\\ny'; expected one line"),
        ({"text": "\ud83d", "intent": "x"}, "text '\\ud83d' holds half a surrogate pair"),
        ({"text": "a", "intent": "x", "split": "no"}, "unknown split 'no'; expected one of train"),
        ({"text": "a", "intent": "x", "split": 1}, "split must be text"),
        ({"text": "a", "intent": "x", "slots": {}}, "slots must be a list, found dict"),
        ({"text": "a", "intent": "x", "slots": ["city"]}, "a slot must be an object"),
        ({"text": "a", "intent": "x", "slots": [slot(0, 1, None)]}, "no name, as text, in the"),
        ({"text": "a", "intent": "x", "slots": [slot(0, 1, "")]}, "slot ''; expected a name"),
        ({"text": "a", "intent": "x", "slots": [slot(0, True)]}, "start and end must be whole"),
        ({"text": "a", "intent": "x", "slots": [slot(0, 2)]}, "slot 'city' from 0 to 2 is not"),
        ({"text": "a", "intent": "x", "slots": [slot(-1, 1)]}, "slot 'city' from -1 to 1 is not"),
        ({"text": "a", "intent": "x", "slots": [slot(1, 1)]}, "slot 'city' from 1 to 1 is not"),
        ({"text": "a b", "intent": "x", "slots": [slot(1, 2)]}, "slot 'city' from 1 to 2 is only"),
        (
            {"text": "new york", "intent": "x", "slots": [slot(4, 8), slot(0, 5, "state")]},
            "slots state 'new y' and city 'york' overlap",
        ),
        (
            {"text": "é york", "intent": "x", "slots": [slot(3, 7, value="york")]},
            "slot 'city' has the value 'york', but 3 to 7 is 'ork'; positions count code points",
        ),
    ],
)
def test_faults_of_json_lines(tmp_path, row, expected):
    (fault,) = faults(write_rows(tmp_path / "data.jsonl", {"text": "a", "intent": "b"}, row))
    assert fault.startswith(f"2: {expected}")


def test_all_faults_are_listed_at_once(tmp_path):
    content = '{"text": "", "intent": ""}\n{"text"\n\n{"text": "a", "intent": "b"}\n[]\n'
    found = faults(write(tmp_path / "data.jsonl", content))
    assert [fault.split(":")[0] for fault in found] == ["1", "1", "2", "5"]
    assert "not JSON" in found[2]


def test_tables_of_text_and_intent(tmp_path):
    content = 'Text,intent,split,id\n"hi, you",greet,,1\nbye,leave,val,2\n'
    path = write(tmp_path / "data.csv", content)
    utterances, _ = read_path(path)
    assert utterances == [
        Utterance("hi, you", "greet", (), "train", f"{path}:2"),
        Utterance("bye", "leave", (), "validation", f"{path}:3"),
    ]
    path = write(tmp_path / "data.tsv", "intent\ttext\r\ngreet\thi\r\n")
    assert read_path(path)[0] == [Utterance("hi", "greet", (), "train", f"{path}:2")]


def test_faults_of_tables(tmp_path):
    (fault,) = faults(write(tmp_path / "data.csv", "text,label\nhi,greet\n"))
    assert fault.startswith("1: no column intent among ['text', 'label']")
    found = faults(write(tmp_path / "data.csv", "text,intent\n,greet\nhi\nhi,greet\n"))
    assert [fault[:13] for fault in found] == ["2: empty text", "3: 1 values f"]


def test_grammars(tmp_path):
    path = write(
        tmp_path / "own.grammar", "intent greet\n    hi\n    hello\nintent leave\n    bye\n"
    )
    utterances, _ = read_path(path)
    assert {(u.text, u.intent) for u in utterances} == {
        ("hi", "greet"),
        ("hello", "greet"),
        ("bye", "leave"),
    }
    found = faults(write(path, "nonsense\n"))
    assert found[0].startswith("1: ")


def test_folders_name_splits_by_files_or_folders(tmp_path):
    for name in ("train.jsonl", "dev.jsonl", "test/a.jsonl", "test/more/b.jsonl", "other.jsonl"):
        write_rows(tmp_path / name, {"text": name, "intent": "x"})
    write(tmp_path / ".hidden" / "c.jsonl", "nonsense")
    write(tmp_path / "README.md", "notes")
    utterances, problems = read_path(tmp_path)
    assert problems == []
    assert {utterance.text: utterance.split for utterance in utterances} == {
        "train.jsonl": "train",
        "dev.jsonl": "validation",
        "test/a.jsonl": "test",
        "test/more/b.jsonl": "test",
        "other.jsonl": "train",
    }


def test_a_single_file_is_training_data_unless_it_says_otherwise(tmp_path):
    rows = [{"text": "a", "intent": "x"}, {"text": "b", "intent": "x", "split": "test"}]
    utterances, _ = read_path(write_rows(tmp_path / "test.jsonl", *rows))
    assert [utterance.split for utterance in utterances] == ["train", "test"]


def test_folders_of_several_formats_are_refused(tmp_path):
    write(tmp_path / "a.csv", "text,intent\nhi,greet\n")
    write_rows(tmp_path / "b.jsonl", {"text": "hi", "intent": "greet"})
    with pytest.raises(DataError, match=r"files of several formats: \.csv, \.jsonl; expected one"):
        read_path(tmp_path)


@pytest.mark.parametrize("name", ["data.docx", "empty.jsonl", "folder"])
def test_what_holds_no_sentences_says_what_is_accepted(tmp_path, name):
    path = tmp_path / name
    path.touch() if path.suffix else path.mkdir()
    with pytest.raises(DataError, match=r"expected a file of sentences named \.jsonl .* seq\.in"):
        read_path(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".yml", ".conll", ".json"])
def test_files_that_are_not_utf_8(tmp_path, suffix):
    path = write(tmp_path / f"data{suffix}", "one\ncaf\xe9\n".encode("latin-1"))
    (fault,) = faults(path)
    assert fault.startswith("2: not UTF-8 text")


parts = st.sampled_from(
    ["nlu:\n", "- intent: a\n", "  examples: |\n", "    - b [c](d)\n", "#", "# intent: x\n"]
    + ["text,intent\n", "a\tO\n", "b B-x\n", "\n", "- ", "[", "]", "{", "}", "(", '"', ",", ": "]
    + ['{"text": "a", "intent": "b"}\n', '{"a": [{"data": [{"text": "b", "entity": "c"}]}]}']
)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".yml", ".conll", ".conllu", ".json"])
@given(content=st.one_of(st.binary(), st.lists(st.one_of(parts, st.text())).map("".join)))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_text_raises_nothing_but_data_errors(tmp_path, suffix, content):
    path = write(tmp_path / f"data{suffix}", content)
    try:
        utterances, problems = read_path(path)
    except DataError as error:
        assert all(problem.severity == "error" for problem in error.problems)
    else:
        assert len({utterance.where for utterance in utterances}) == len(utterances) > 0
        assert all(problem.severity == "warning" for problem in problems)


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=texts, cuts=st.lists(st.integers(0, 30), max_size=6))
@settings(max_examples=200, deadline=None)
def test_slots_keep_their_words_whatever_white_space_goes(text, cuts):
    edges = sorted(min(cut, len(text)) for cut in cuts)
    slots = [Slot("s", *pair) for pair in zip(edges[::2], edges[1::2], strict=False)]
    findings = UtteranceFindings()
    findings.add(Utterance(text, "x", tuple(slots)))
    usable = text.strip() and all(text[slot.start : slot.end].strip() for slot in slots)
    assert bool(findings.utterances) == bool(usable) == (not findings.problems)
    for utterance in findings.utterances:
        assert utterance.text == text.strip()
        values = [utterance.text[slot.start : slot.end] for slot in utterance.slots]
        assert values == [text[slot.start : slot.end].strip() for slot in slots]
