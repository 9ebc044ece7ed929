import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.readers.recordings import read_path
from data.recordings import Recording, RecordingFields
from data.splits import DataError

GUESSED = RecordingFields()


@pytest.fixture(autouse=True)
def clips(tmp_path):
    """Readers look whether files are there, but do not open them."""
    for name in ("a.wav", "b.flac", "sub/c.mp3"):
        write(tmp_path / name, "")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(path: Path, *rows: object) -> Path:
    return write(path, "\n".join(map(json.dumps, rows)))


def read(
    path: Path, kind: str = "transcripts", fields: RecordingFields = GUESSED
) -> list[Recording]:
    recordings, problems = read_path(path, kind, fields)
    assert problems == []
    return recordings


def faults(path: Path, kind: str = "transcripts", fields: RecordingFields = GUESSED) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path, kind, fields)
    return [
        f"{problem.where.removeprefix(str(path) + ':')}: {problem.message}"
        for problem in caught.value.problems
    ]


def test_tables_of_path_and_text(tmp_path):
    content = (
        "ID,Path,TEXT,start,end,split,Speaker\n"
        '1,a.wav,"Hi, ""you""",,,,\n'
        "2, sub/c.mp3 ,bye,1.5,2, Dev, ann\n"
        f"3,{tmp_path}/b.flac,so,0.25,,TEST,\n"
    )
    path = write(tmp_path / "data.csv", content)
    root = str(tmp_path)
    c = f"{root}/sub/c.mp3"
    assert read(path) == [
        Recording(f"{root}/a.wav", 'Hi, "you"', where=f"{root}/a.wav"),
        Recording(c, "bye", 1.5, 2.0, "validation", "ann", f"{c}#t=1.5,2"),
        Recording(f"{root}/b.flac", "so", 0.25, None, "test", "", f"{root}/b.flac#t=0.25"),
    ]
    path = write(tmp_path / "data.TSV", b"\xef\xbb\xbflabel\tfile\r\n yes \ta.wav\r\n")
    assert read(path, "keywords") == [Recording(f"{root}/a.wav", "yes", where=f"{root}/a.wav")]


def test_json_lines(tmp_path):
    path = write_rows(
        tmp_path / "data.jsonl",
        {"path": "a.wav", "text": "good\n morning", "note": [1], "start": 1, "end": 2.5},
        {"Audio_FilePath": "b.flac", "Sentence": "x", "split": "Valid", "speaker": 17},
        {"path": "a.wav", "label": 7, "end": "0.5", "split": None, "start": None, "speaker": None},
    )
    found = [(r.text, r.start, r.end, r.split, r.speaker) for r in read(path)]
    assert found == [
        ("good\n morning", 1.0, 2.5, "train", ""),
        ("x", 0.0, None, "validation", "17"),
        ("7", 0.0, 0.5, "train", ""),
    ]


def test_a_table_may_have_words_and_transcripts(tmp_path):
    path = write(tmp_path / "data.csv", "path,text,label\na.wav,turn it on,on\n")
    assert [recording.text for recording in read(path)] == ["turn it on"]
    assert [recording.text for recording in read(path, "keywords")] == ["on"]


def test_columns_of_other_names(tmp_path):
    path = write(tmp_path / "data.csv", "path,text,said,who\na.wav,x,Ja.,Jo\n")
    (found,) = read(path, fields=RecordingFields(text="Said", speaker="WHO"))
    assert (found.text, found.speaker) == ("Ja.", "Jo")
    (fault,) = faults(path, fields=RecordingFields(text="spoken", speaker="by"))
    assert fault == (
        "1: no spoken and no by among ['path', 'said', 'text', 'who']; name the column of the "
        "text by --recording.text_field and that of the speaker by --recording.speaker_field"
    )


def test_files_named_as_splits(tmp_path):
    for name in ("train", "validation", "test", "notes"):
        write(tmp_path / "set" / f"{name}.tsv", f"path\ttext\n../a.wav\t{name}\n")
    recordings, problems = read_path(tmp_path / "set", "transcripts", GUESSED)
    assert {recording.text: recording.split for recording in recordings} == {
        name: name for name in ("train", "validation", "test")
    }
    assert [problem.where for problem in problems] == [str(tmp_path / "set" / "notes.tsv")]


def test_folders_of_tables_of_several_formats_are_refused(tmp_path):
    write(tmp_path / "train.csv", "path,text\na.wav,x\n")
    write(tmp_path / "test.jsonl", '{"path": "a.wav", "text": "x"}')
    assert "tables of several formats: .csv, .jsonl" in faults(tmp_path)[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1], "expected an object with path and text, found list"),
        ({"text": "x"}, "no path or file or filename or file_name or audio or audio_filepath amo"),
        ({"path": "a.wav", "text": None}, "no text or transcript or transcription or sentence or"),
        ({"path": "a.wav", "text": ["x"]}, "text must be text, found list"),
        ({"path": 1.5, "text": "x"}, "path must be text, found float"),
        ({"path": " ", "text": "x"}, "empty path"),
        ({"path": "no.wav", "text": "x"}, "no file '"),
        ({"path": "a\0.wav", "text": "x"}, "no file '"),
        ({"path": "\ud83d.wav", "text": "x"}, "no file '"),
        ({"path": "sub", "text": "x"}, "no file '"),
        ({"path": "a.wav", "text": " ?!"}, "no word in the transcript '?!'; write what is said, o"),
        ({"path": "a.wav", "text": "\ud83d"}, "the text '\\ud83d' holds half a surrogate pair"),
        (
            {"path": "a.wav", "text": "x", "split": "no"},
            "unknown split 'no'; expected one of train",
        ),
        ({"path": "a.wav", "text": "x", "split": 1}, "unknown split '1'; expected one of train"),
        ({"path": "a.wav", "text": "x", "speaker": {}}, "speaker must be text, found dict"),
        ({"path": "a.wav", "text": "x", "speaker": "a\nb"}, "speaker 'a\\nb'; expected one line"),
        ({"path": "a.wav", "text": "x", "start": "1,5"}, "start '1,5'; expected seconds as a num"),
        ({"path": "a.wav", "text": "x", "start": True}, "start True; expected seconds as a number"),
        ({"path": "a.wav", "text": "x", "end": [1]}, "end [1]; expected seconds as a number"),
        ({"path": "a.wav", "text": "x", "end": 10**400}, "end 1000"),
        ({"path": "a.wav", "text": "x", "start": -1}, "start -1; expected 0 or more seconds"),
        ({"path": "a.wav", "text": "x", "start": "nan"}, "start nan; expected 0 or more seconds"),
        ({"path": "a.wav", "text": "x", "end": "inf"}, "start 0 and end inf; expected a start bef"),
        ({"path": "a.wav", "text": "x", "start": 2, "end": 1.5}, "start 2 and end 1.5; expected a"),
        ({"path": "a.wav", "text": "x", "start": 2, "end": 2}, "start 2 and end 2; expected a sta"),
    ],
)
def test_faults_of_rows(tmp_path, row, expected):
    good = {"path": "a.wav", "text": "x"}
    (fault,) = faults(write_rows(tmp_path / "data.jsonl", good, row))
    assert fault.startswith(f"2: {expected}")


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\ud83d"])
def test_words_are_one_line(tmp_path, text):
    path = write_rows(tmp_path / "data.jsonl", {"path": "a.wav", "label": text})
    (fault,) = faults(path, "keywords")
    assert fault.startswith("1: word ") or "surrogate" in fault


def test_all_faults_are_listed_at_once(tmp_path):
    write(tmp_path / "train.csv", "path,text,start\nno.wav,,x\na.wav,x,1\nno.wav,-,\nb.flac,x\n")
    write(tmp_path / "test.csv", "path,label,split\na.wav,x,later\n")
    found = [fault.removeprefix(f"{tmp_path}/") for fault in faults(tmp_path)]
    assert [fault[:45] for fault in found] == [
        "test.csv:2: unknown split 'later'; expected o",
        "train.csv:2: start 'x'; expected seconds as a",
        f"train.csv:4: no file '{tmp_path}"[:45],
        "train.csv:4: no word in the transcript '-'; w",
        "train.csv:5: 2 values for 3 columns; quote wh",
    ]


def test_a_missing_column_is_reported_once(tmp_path):
    (fault,) = faults(write(tmp_path / "data.csv", "path,words\na.wav,x\na.wav,y\n"))
    assert fault.startswith(
        "1: no text or transcript or transcription or sentence or label or word"
    )
    assert "among ['path', 'words']" in fault


@pytest.mark.parametrize("name", ["data.docx", "empty.csv", "heading.csv", "folder"])
def test_what_holds_no_recordings_says_what_is_accepted(tmp_path, name):
    path = tmp_path / "own" / name
    write(path, "path,text\n" if name == "heading.csv" else "")
    if name == "folder":
        path.unlink()
        path.mkdir()
    (fault,) = faults(path)
    assert "expected a table named .csv, .tsv or .jsonl with the columns path and text" in fault


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-16", "1: not UTF-8 text (it is UTF-16); save the file as UTF-8"),
        ("utf-16-be", "1: NUL character: no text, or UTF-16; save it as UTF-8"),
        ("latin-1", "2: not UTF-8 text (invalid continuation byte); save the file as UTF-8"),
    ],
)
def test_files_that_are_not_utf_8(tmp_path, suffix, encoding, expected):
    text = "étoile" if encoding == "latin-1" else "star"
    path = write(tmp_path / f"data{suffix}", f"path,text\n{text},x\n".encode(encoding))
    assert faults(path) == [expected]


parts = st.sampled_from(
    ["path,text\n", "path\ttext\tstart\tend\n", "a.wav,x\n", "a.wav\tx\t1\t2\n", "a.wav\tx\t\t0\n"]
    + ['{"path": "a.wav", "text": "b"}\n', '{"path": "a.wav", "text": "b", "end": 1e999}\n']
    + ['"', ",", "\t", "\n", "\r", "\0", "{", "[", '"split": 1', "nan", "-1"]
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("kind", ["keywords", "transcripts"])
@given(content=st.one_of(st.binary(), st.lists(st.one_of(parts, st.text())).map("".join)))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_text_raises_nothing_but_data_errors(tmp_path, suffix, kind, content):
    path = write(tmp_path / f"data{suffix}", content)
    try:
        recordings, _ = read_path(path, kind, GUESSED)
    except DataError as error:
        assert all(problem.severity == "error" for problem in error.problems)
    else:
        assert all(recording.text and recording.start >= 0 for recording in recordings)
        assert all(r.end is None or r.start < r.end < 1e300 for r in recordings)
