"""Readers of JSON files: Snips, old and new, and CLINC."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.readers.utterances import read_path
from data.splits import DataError
from data.utterances import OUT_OF_SCOPE, Slot, Utterance


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path)
    return [
        f"{problem.where.removeprefix(str(path))}: {problem.message}"
        for problem in caught.value.problems
    ]


PIECES = [
    {"text": "play "},
    {"text": "Édith", "entity": "artist"},
    {"text": " on "},
    {"text": "x", "entity": "snips/service", "slot_name": "service"},
    {"text": " "},
]
SLOTS = (Slot("artist", 5, 10), Slot("service", 14, 15))


def test_files_of_one_or_more_intents(tmp_path):
    content = {"PlayMusic": [{"data": PIECES}], "Greet": [{"data": [{"text": "hi"}]}]}
    path = write(tmp_path / "data.json", content)
    utterances, problems = read_path(path)
    assert problems == []
    assert utterances == [
        Utterance("play Édith on x", "PlayMusic", SLOTS, "train", f"{path}:PlayMusic[0]"),
        Utterance("hi", "Greet", (), "train", f"{path}:Greet[0]"),
    ]


def test_files_of_the_snips_library(tmp_path):
    intents = {"play": {"utterances": [{"data": PIECES}, {"data": [{"text": "play"}]}]}}
    content = {"language": "en", "intents": intents, "entities": {"artist": {"data": []}}}
    path = write(tmp_path / "data.json", content)
    utterances, (problem,) = read_path(path)
    assert [(u.text, u.slots) for u in utterances] == [("play Édith on x", SLOTS), ("play", ())]
    assert (problem.severity, problem.where) == ("warning", str(path))


def test_folders_of_the_published_set(tmp_path):
    for name in ("train_Play.json", "train_Play_full.json", "validate_Play.json"):
        write(tmp_path / "Play" / name, {"Play": [{"data": [{"text": name}]}]})
    write(tmp_path / "Rate" / "train_Rate.json", {"Rate": [{"data": [{"text": "rate"}]}]})
    utterances, (problem,) = read_path(tmp_path)
    assert {(u.text, u.split) for u in utterances} == {
        ("train_Play_full.json", "train"),
        ("validate_Play.json", "validation"),
        ("rate", "train"),
    }
    assert problem.where.endswith("train_Play.json")


def test_clinc(tmp_path):
    content = {
        "train": [["hi", "greet"], ["bye", "leave"]],
        "oos_train": [["why", "oos"]],
        "val": [["hello", "greet"]],
        "oos_val": [],
        "test": [["hey", "greet"]],
        "oos_test": [["how", "oos"]],
    }
    path = write(tmp_path / "data_full.json", content)
    utterances, problems = read_path(path)
    assert problems == []
    assert [(u.text, u.intent, u.split) for u in utterances] == [
        ("hi", "greet", "train"),
        ("bye", "leave", "train"),
        ("why", OUT_OF_SCOPE, "train"),
        ("hello", "greet", "validation"),
        ("hey", "greet", "test"),
        ("how", OUT_OF_SCOPE, "test"),
    ]
    assert utterances[1].where == f"{path}:train[1]"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{\n1", [":2: not JSON: "]),
        ("[" * 100_000, [": not JSON: "]),
        ([], [': expected {INTENT: [{"data"']),
        ({}, [': expected {INTENT: [{"data"']),
        ({"a": {"data": []}}, [":a: no list of sentences; expected {INTENT"]),
        ({"intents": {"a": 7, "b": {}}}, [":a: no list of", ":b: no list of"]),
        ({"a": [7, {"data": 7}]}, [":a[0]: expected", ":a[1]: expected"]),
        ({"a": [{"data": [{"entity": "x"}]}, {"data": []}]}, [":a[0]: expected", ":a[1]: empty"]),
        ({"a": [{"data": [{"text": "b", "entity": 7}]}]}, [":a[0]: expected"]),
        ({"a": [{"data": [{"text": "", "entity": "b"}, {"text": "c"}]}]}, [":a[0]: slot 'b'"]),
        ({"": [{"data": [{"text": "b"}]}]}, [":[0]: intent ''"]),
        ({"train": [["a"], ["a", 7], "a"], "test": [["", "b"]]}, [":train["] * 3 + [":test[0]"]),
    ],
)
def test_faults(tmp_path, content, expected):
    found = faults(write(tmp_path / "data.json", content))
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for fault, start in zip(found, expected, strict=True))


keys = st.sampled_from(["train", "oos_test", "intents", "utterances", "data", "text", "entity"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(keys, values, max_size=3),
    max_leaves=12,
)


@given(content=json_values)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_json_raises_nothing_but_data_errors(tmp_path, content):
    path = write(tmp_path / "data.json", content)
    try:
        utterances, _ = read_path(path)
    except DataError as error:
        assert all(problem.where.startswith(str(path)) for problem in error.problems)
    else:
        assert all(utterance.text.strip() for utterance in utterances)
