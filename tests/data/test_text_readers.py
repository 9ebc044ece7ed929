import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.readers.texts import read_path
from data.splits import DataError
from data.texts import Text, TextFields

GUESSED = TextFields()
SEVERAL = TextFields(separator="|")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(path: Path, *rows: object) -> Path:
    return write(path, "\n".join(map(json.dumps, rows)))


def read(path: Path, fields: TextFields = GUESSED, labelled: bool = True) -> list[Text]:
    texts, problems = read_path(path, fields, labelled=labelled)
    assert problems == []
    return texts


def faults(path: Path, fields: TextFields = GUESSED, labelled: bool = True) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path, fields, labelled=labelled)
    return [
        f"{problem.where.removeprefix(str(path) + ':')}: {problem.message}"
        for problem in caught.value.problems
    ]


def test_tables_of_text_and_label(tmp_path):
    content = 'ID,Text,LABEL,split\n1,"hi, ""you""\nall",greet,\n2, bye ,leave, Dev\n'
    path = write(tmp_path / "data.csv", content)
    assert read(path) == [
        Text('hi, "you"\nall', ("greet",), "train", f"{path}:2"),
        Text("bye", ("leave",), "validation", f"{path}:4"),
    ]
    path = write(tmp_path / "data.TSV", b"\xef\xbb\xbflabel\ttext\r\ngreet\thi, you\r\n")
    assert read(path) == [Text("hi, you", ("greet",), "train", f"{path}:2")]


def test_json_lines(tmp_path):
    path = write_rows(
        tmp_path / "data.jsonl",
        {"text": "good\r\n\tfilm", "label": "pos", "note": [1]},
        {"Text": "😀", "Label": 1, "split": "Test"},
        {"text": "bad", "label": True, "split": None},
    )
    assert read(path) == [
        Text("good\r\n\tfilm", ("pos",), "train", f"{path}:1"),
        Text("😀", ("1",), "test", f"{path}:2"),
        Text("bad", ("True",), "train", f"{path}:3"),
    ]


def test_columns_of_other_names(tmp_path):
    fields = TextFields(text="Title, body", label="Stars")
    table = write(tmp_path / "data.csv", "stars,title,BODY\n5,Good,It is.\n1,,None\n")
    rows = (
        {"title": t, "body": b, "stars": s}
        for s, t, b in (("5", "Good", "It is."), (1, " ", "None"))
    )
    lines = write_rows(tmp_path / "data.jsonl", *rows)
    for path in (table, lines):
        assert [(text.text, text.labels) for text in read(path, fields)] == [
            ("Good It is.", ("5",)),
            ("None", ("1",)),
        ]


def test_several_labels(tmp_path):
    table = write(tmp_path / "data.csv", "text,label\na,y | x|y|\nb,\nc,z\n")
    lines = write_rows(
        tmp_path / "data.jsonl",
        {"text": "a", "label": ["y", "x", "y"]},
        {"text": "b"},
        {"text": "c", "label": "z"},
    )
    for path in (table, lines):
        assert [text.labels for text in read(path, SEVERAL)] == [("y", "x"), (), ("z",)]


def test_labels_are_not_read_where_none_are_wanted(tmp_path):
    for path in (
        write(tmp_path / "a.csv", "text,label,split\na,x,\nb,,test\n"),
        write_rows(
            tmp_path / "b.jsonl",
            {"text": "a", "label": {}},
            {"text": "b", "label": None, "split": "test"},
        ),
    ):
        found = [(text.text, text.labels, text.split) for text in read(path, labelled=False)]
        assert found == [("a", (), "train"), ("b", (), "test")]


def test_files_of_lines(tmp_path):
    path = write(tmp_path / "book.txt", "\ufeffOne.\r\n\r\n  Two, \x0bthree. \n \nFour.")
    assert read(path, labelled=False) == [
        Text("One.", (), "train", f"{path}:1"),
        Text("Two, \x0bthree.", (), "train", f"{path}:3"),
        Text("Four.", (), "train", f"{path}:5"),
    ]


def test_values_longer_than_a_page(tmp_path):
    path = write(tmp_path / "data.csv", f"text,label\n{'long ' * 100_000},x\n")
    assert len(read(path)[0].text) == 499_999


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1], "expected an object with text, found list"),
        (
            {"label": "x"},
            "text must be text, found none among ['label']; name the columns by --tex",
        ),
        ({"text": ["a"], "label": "x"}, "text must be text, found list; name"),
        ({"text": "a"}, "label must be text, found none among ['text']; name"),
        ({"text": "a", "label": None}, "label must be text, found NoneType; name"),
        ({"text": "a", "label": 1.5}, "label must be text, found float; name"),
        ({"text": "a", "label": ["x"]}, "label is a list, ['x']; expected one label, or --text.l"),
        ({"text": "a", "label": " "}, "no label; expected one for each text"),
        ({"text": "a", "label": "x\ny"}, "label 'x\\ny'; expected one line of text"),
        ({"text": "a", "label": "\ud83d"}, "label '\\ud83d'; expected one line of text"),
        ({"text": " \n", "label": "x"}, "empty text"),
        ({"text": "a\0b", "label": "x"}, "NUL character in the text 'a\\x00b'; remove it"),
        ({"text": "\ud83d" * 99, "label": "x"}, "the text '\\ud83d\\ud83d"),
        ({"text": "a", "label": "x", "split": "no"}, "unknown split 'no'; expected one of train"),
        ({"text": "a", "label": "x", "split": 1}, "split must be text, found 1"),
    ],
)
def test_faults_of_json_lines(tmp_path, row, expected):
    (fault,) = faults(write_rows(tmp_path / "data.jsonl", {"text": "a", "label": "b"}, row))
    assert fault.startswith(f"2: {expected}")
    assert len(fault) < 600


def test_faults_of_lists_of_labels(tmp_path):
    path = write_rows(
        tmp_path / "data.jsonl",
        {"text": "a", "label": ["x", None, ["y"]]},
        {"text": "a", "label": ["x", ""]},
        {"text": "a", "label": {"x": 1}},
    )
    assert [fault[:44] for fault in faults(path, SEVERAL)] == [
        "1: label must be a list of texts, found None",
        "2: label ''; expected one line of text that ",
        "3: label must be text, found dict; name the ",
    ]


def test_faults_of_tables(tmp_path):
    path = write(tmp_path / "data.csv", "text,label\n,x\na,\nb\nc,x,y\nd,x\n")
    assert [fault[:22] for fault in faults(path)] == [
        "2: empty text",
        "3: no label; expected ",
        "4: 1 values for 2 colu",
        "5: 3 values for 2 colu",
    ]
    (fault,) = faults(path, TextFields(text="text,Body", label="stars"))
    assert fault.startswith("1: no column body or stars among ['text', 'label'], separated by com")
    assert fault.endswith("name the columns by --text.text_field and --text.label_field")
    (fault,) = faults(write(path, 'text,label\n"a,x\n"b",y\n'))
    assert fault.startswith("2: cannot be parsed from here on")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt"])
@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("utf-16", "star", "1: not UTF-8 text (it is UTF-16); save the file as UTF-8"),
        ("utf-16-be", "star", "1: NUL character: no text, or UTF-16; save it as UTF-8"),
        (
            "latin-1",
            "étoile",
            "2: not UTF-8 text (invalid continuation byte); save the file as UTF-8",
        ),
    ],
)
def test_files_that_are_not_utf_8(tmp_path, suffix, encoding, text, expected):
    path = write(tmp_path / f"data{suffix}", f"text,label\n{text},x\n".encode(encoding))
    assert faults(path, labelled=suffix != ".txt") == [expected]


parts = st.sampled_from(
    ["text,label\n", "text\tlabel\n", "a,x\n", "a\tx\n", '"', ",", "\t", "\n", "\r", "\0", "|"]
    + ['{"text": "a", "label": "b"}\n', '{"text": "a", "label": ["b"]}\n', "{", "[", '"split": 1']
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt"])
@pytest.mark.parametrize("fields", [GUESSED, SEVERAL])
@given(
    content=st.one_of(st.binary(), st.lists(st.one_of(parts, st.text())).map("".join)),
    labelled=st.booleans(),
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_text_raises_nothing_but_data_errors(tmp_path, suffix, fields, content, labelled):
    path = write(tmp_path / f"data{suffix}", content)
    try:
        texts, _ = read_path(path, fields, labelled=labelled)
    except DataError as error:
        assert all(problem.severity == "error" for problem in error.problems)
    else:
        assert len({text.where for text in texts}) == len(texts) > 0
        assert all(text.text.encode().strip() for text in texts)
        assert all(text.labels for text in texts) or fields.separator or not labelled


rows = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        st.sampled_from(["x", "y z", "ü"]),
    ).filter(lambda row: row[0].strip()),
    min_size=1,
)


@given(rows=rows)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_json_lines_keep_any_text(tmp_path, rows):
    path = tmp_path / "data.jsonl"
    write_rows(path, *({"text": text, "label": label} for text, label in rows))
    assert [(text.text, text.labels) for text in read(path)] == [
        (text.strip(), (label,)) for text, label in rows
    ]
