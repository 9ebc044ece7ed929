from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.readers.utterances import read_path
from data.readers.utterances.rasa import parse_example
from data.splits import DataError
from data.utterances import OUT_OF_SCOPE, Slot, Utterance

NLU = """version: "3.1"

nlu:
- intent: greet
  examples: |
    - hey
    - hello there

- intent: fly  # a comment
  examples: |

    - from [New York]{"entity": "city", "role": "from", "value": "NYC"} to [rome](city)
    - on [friday](day:2024-01-05) in [seat 1]{"entity": "seat", "group": "1"}
- intent: faq/ask
  examples:
  - text: |
      what is [this]
    metadata: {sentiment: neutral}
  - how so
- intent: nlu_fallback
  examples: ["- is text here", '[blue](colour) moon']
- synonym: NYC
  examples: |
    - New York
- lookup: city
  examples: |
    - rome
- regex: seat
  examples: |
    - seat \\d+
- lookup: country
  examples: |
    - italy
stories: []
"""


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_path(path)
    return [
        f"{problem.where.removeprefix(str(path))}: {problem.message}"
        for problem in caught.value.problems
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_examples_and_their_lines(tmp_path, line_end):
    path = tmp_path / "nlu.yml"
    path.write_bytes(NLU.replace("\n", line_end).encode())
    utterances, (problem,) = read_path(path)
    fly = (Slot("city.from", 5, 13), Slot("city", 17, 21))
    assert utterances == [
        Utterance("hey", "greet", (), "train", f"{path}:6"),
        Utterance("hello there", "greet", (), "train", f"{path}:7"),
        Utterance("from New York to rome", "fly", fly, "train", f"{path}:12"),
        Utterance(
            "on friday in seat 1",
            "fly",
            (Slot("day", 3, 9), Slot("seat", 13, 19)),
            "train",
            f"{path}:13",
        ),
        Utterance("what is [this]", "faq/ask", (), "train", f"{path}:16:5"),
        Utterance("how so", "faq/ask", (), "train", f"{path}:19:5"),
        Utterance("- is text here", OUT_OF_SCOPE, (), "train", f"{path}:21:14"),
        Utterance("blue moon", OUT_OF_SCOPE, (Slot("colour", 0, 4),), "train", f"{path}:21:32"),
    ]
    assert (problem.severity, problem.where) == ("warning", str(path))
    assert problem.message.endswith(": 2 lookup, 1 regex, 1 synonym")


def test_lines_are_those_of_the_file(tmp_path):
    path = write(tmp_path / "nlu.yaml", NLU)
    lines = NLU.split("\n")
    for utterance in read_path(path)[0]:
        line = lines[int(utterance.where.split(":")[1]) - 1]
        assert utterance.text[:3] in line.replace("[", "") or "- text: |" in line


def test_folders(tmp_path):
    item = "nlu:\n- intent: {0}\n  examples: |\n    - {0}\n"
    for name in (
        "nlu/a.yml",
        "nlu/test_drive.yaml",
        "test/c.yml",
        "train_test_split/test_data.yml",
    ):
        write(tmp_path / name, item.format(name))
    write(tmp_path / "domain.yml", "intents: [a]\n")
    utterances, (problem,) = read_path(tmp_path)
    assert {utterance.text: utterance.split for utterance in utterances} == {
        "nlu/a.yml": "train",
        "nlu/test_drive.yaml": "train",
        "test/c.yml": "test",
        "train_test_split/test_data.yml": "test",
    }
    assert (problem.severity, problem.where) == ("warning", str(tmp_path / "domain.yml"))
    assert problem.message == "ignored: no nlu section"


def test_a_space_after_brackets_is_a_warning(tmp_path):
    content = "nlu:\n- intent: a\n  examples: |\n    - to [rome] (city)\n"
    ((utterance,), (problem,)) = read_path(write(tmp_path / "nlu.yml", content))
    assert (utterance.text, utterance.slots) == ("to [rome] (city)", ())
    assert problem.where.endswith(":4")
    assert problem.message.startswith("space after ]")


def test_all_faults_are_listed_at_once(tmp_path):
    content = """nlu:
- intent: a
  examples: |
    - to [rome](city
    - to [rome]{"entity" "city"}
    - to [rome]{"entity": 7}
    - to [rome]{"role": "to"}
    - to [rome][{"entity": "city"}, {"entity": "place"}]
    - to [](city)
    no dash
    -
- intent: b
  examples: >
    - folded
- intent: c
- intent: [d]
  examples: |
    - d
- intent: e
  examples:
  - [f]
- story: g
- nothing
"""
    expected = [
        ":4: no ) after '[rome]('",
        ":5: not JSON after [rome]: Expecting ':'",
        ":6: entity and role must be text",
        ":7: entity and role must be text",
        ":8: 'rome' has a list of entities",
        ":9: slot 'city' from 4 to 4 is not a part",
        ":10: 'no dash'; expected `- ` and an example",
        ":11: empty text",
        ":13: examples must be a block",
        ":15: the intent 'c' has no examples",
        ":16: intent must be a name",
        ":21:5: expected an example with text",
        ":22: expected one of intent, synonym, regex, lookup; found ['story']",
        ":23: expected one of intent, synonym, regex, lookup; found []",
    ]
    found = faults(write(tmp_path / "nlu.yml", content))
    assert len(found) == len(expected)
    for fault, beginning in zip(found, expected, strict=True):
        assert fault.startswith(beginning)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nlu:\n- intent: [a\n- b: c\n", ":3: not YAML: "),
        ("nlu:\n\t- intent: a\n", ":2: not YAML: found character '\\t'"),
        ("nlu: \x01\n", ":1: not YAML: "),
        ("[" * 5000, ":1: not YAML: "),
        ("nlu: 7\n", ":1: nlu must be a list"),
        ("", ": no sentences; expected a file"),
        ("version: '3.1'\n", ": no sentences; expected a file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, expected):
    (fault,) = faults(write(tmp_path / "nlu.yml", content))
    assert fault.startswith(expected)


words = st.text(st.characters(exclude_characters="[](){}", exclude_categories=["Cs"]), min_size=1)
pieces = st.lists(st.tuples(words, st.sampled_from(["", "city", "day"])), max_size=6)


@given(pieces)
def test_annotations_come_out_as_they_were_put_in(example):
    marked = "".join(f"[{text}]({name})" if name else text for text, name in example)
    text, slots = parse_example(marked)
    assert text == "".join(text for text, _ in example)
    found = [(text[slot.start : slot.end], slot.name) for slot in slots]
    assert found == [(text, name) for text, name in example if name]
