from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.readers.grammar import read_grammar
from data.splits import DataError
from data.utterances import Utterance

SMALL = """
size train 6
list city
    paris | (new|old)  delhi
list city test
    san <name>
list name
    jose
list when
    {date:day} | on {date:weekday}
list day
    today
list weekday
    friday
intent get_weather
    [please] tell me the   weather in {city} [<when>]
intent get_weather test 2
    weather from {from:city} to {to:city}?
# neither a list
  # nor an intent
intent greet 1
    hello
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "own.grammar"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str) -> list[Utterance]:
    return read_grammar(write(folder, content))[0]


def warnings(folder: Path, content: str) -> list[str]:
    path = write(folder, content)
    problems = read_grammar(path)[1]
    assert all(problem.severity == "warning" for problem in problems)
    return [f"{p.where.removeprefix(f'{path}:')}: {p.message}" for p in problems]


def faults(folder: Path, content: str | bytes) -> list[str]:
    path = write(folder, content)
    with pytest.raises(DataError) as caught:
        read_grammar(path)
    return [f"{p.where.removeprefix(f'{path}:')}: {p.message}" for p in caught.value.problems]


def values(utterance: Utterance) -> dict[str, str]:
    return {slot.name: utterance.text[slot.start : slot.end] for slot in utterance.slots}


def test_sentences_have_the_phrasings_values_and_sizes_of_their_split(folder):
    sentences = read(folder, SMALL)
    train = [u for u in sentences if (u.intent, u.split) == ("get_weather", "train")]
    test = [u for u in sentences if (u.intent, u.split) == ("get_weather", "test")]
    assert [len(train), len(test), len(sentences)] == [6, 2, 9]
    cities = {"paris", "new delhi", "old delhi"}
    for utterance in train:
        slots = values(utterance)
        assert slots.pop("city") in cities
        assert slots in ({}, {"date": "today"}, {"date": "friday"})
        assert utterance.text.removeprefix("please ").startswith("tell me the weather in ")
        assert ("on friday" in utterance.text) == ("friday" in slots.values())
    for utterance in test:
        slots = values(utterance)
        assert utterance.text == f"weather from {slots['from']} to {slots['to']}?"
        assert set(slots.values()) <= cities | {"san jose"}


def test_sentences_differ_and_name_their_phrasing(folder):
    sentences = read(folder, SMALL)
    assert len({u.text for u in sentences}) == len({u.where for u in sentences}) == len(sentences)
    assert {u.where.partition("#")[0] for u in sentences} == {
        "own.grammar:16",
        "own.grammar:18",
        "own.grammar:22",
    }


def test_the_same_file_gives_the_same_sentences(folder):
    assert read(folder, SMALL) == read(folder, SMALL)


def test_one_intent_does_not_change_the_sentences_of_another(folder):
    more = read(folder, "intent leave 2\n\tgood|bye\n" + SMALL)
    texts = [utterance.text for utterance in read(folder, SMALL)]
    assert [utterance.text for utterance in more][2:] == texts


def test_without_a_size_all_sentences_come_up_to_two_hundred(folder):
    few = "intent lights\n  [please] turn (on|off) the (lamp|light)s\n"
    assert len(read(folder, few)) == 8
    assert len(read(folder, f"{few}  number {'(1|2)' * 10}\n")) == 200


def test_optional_parts_are_there_about_every_other_time(folder):
    numbers = "|".join(map(str, range(50)))
    content = f"intent add\n  ({numbers}) plus ({numbers}) [plus {{n}}]\nlist n\n  {numbers}\n"
    with_slot = sum(bool(utterance.slots) for utterance in read(folder, content))
    assert 70 <= with_slot <= 130


def test_windows_line_ends_a_byte_order_mark_and_other_scripts(folder):
    content = "\ufefflist stadt\r\n\tkøln | 東京\r\nintent wetter\r\n\twetter in {stadt}!\r\n"
    assert {u.text: values(u) for u in read(folder, content)} == {
        "wetter in køln!": {"stadt": "køln"},
        "wetter in 東京!": {"stadt": "東京"},
    }


def test_a_grammar_without_marks_is_training_data_and_says_so(folder):
    content = "intent a\n  yes\nintent b\n  no\n"
    assert {utterance.split for utterance in read(folder, content)} == {"train"}
    (message,) = warnings(folder, content)
    assert message.startswith("1: no phrasings are marked validation or test")


def test_what_a_person_should_know_is_a_warning(folder):
    content = (
        "list city\n  paris\nlist city test\n  rome | paris\nlist unused\n  x\n"
        "intent a\n  to {city}\nintent a val\n  in {city}\nintent a test\n  at {city}\n  to {city}"
    )
    assert warnings(folder, content) == [
        "4: the same as in line 2: it is in every split and test",
        "13: the same as in line 8: it is in train and test",
        "5: list 'unused' is not used",
    ]


def test_all_faults_are_listed_at_once(folder):
    content = "list city\nintent a\n  in {citty}\n  (b|)\n[c]\n  d]\nintent e\n"
    assert [fault.split(" ")[0] for fault in faults(folder, content)] == ["4:", "5:", "6:"]
    content = "list city\nlist town\n  rome\nintent a\n  in {twon}\nintent e\nintent f\n  in {city}"
    found = faults(folder, content)
    assert [fault.split(" ")[0] for fault in found] == ["1:", "6:", "5:"]
    assert found[0] == "1: list 'city' has no values; write them below it, indented"
    assert found[1] == "6: intent 'e' has no phrasings; write them below it, indented"
    assert found[2] == "5: no list 'twon'; did you mean 'town'?"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "1: no intents"),
        ("# intent a\n", "1: no intents"),
        (b"intent a\n  caf\xe9\n", "2: not UTF-8 text"),
        ("  hello\n", "1: an indented line without"),
        ("size test 3\n  hello\nintent a\n  b", "2: an indented line without"),
        ("intent a\n  b\nhello\n", "3: 'hello' is no heading; expected `size SPLIT COUNT`"),
        ("intent a dev\n  b\n", "1: 'intent a dev' is no heading"),
        ("intent a 0\n  b\n", "1: 'intent a 0' is no heading"),
        (f"intent a {'9' * 5000}\n  b\n", "1: 'intent a 999"),
        ("list a 3\n  b\n", "1: 'list a 3' is no heading"),
        ("size 3\nintent a\n  b\n", "1: 'size 3' is no heading"),
        ("intent a\n  (b\n", "2: a bracket is not closed; expected ')'"),
        ("intent a\n  [b)\n", "2: ')' closes no bracket"),
        ("intent a\n  b}\n", "2: '}' closes no bracket"),
        ("intent a\n  {b c}\n", "2: '{' without a name"),
        ("intent a\n  b < c\n", "2: '<' without a name"),
        ("intent a\n  b | | c\n", "2: an alternative is empty"),
        ("intent a\n  b ( |c)\n", "2: an alternative is empty"),
        ("intent a\n  [b] [c]\n", "2: nothing is left without the optional parts"),
        ("intent a\n  " + "(" * 5000 + "\n", "2: brackets are nested more than 10 deep"),
        ("intent a\n  b\nintent c\n  b\n", "4: the same phrasing as in line 2, of 'a'"),
        ("intent a\n  b [c]\nintent d\n  b (c|d)\n", "4: 'b c' is 'd' here and 'a' in line 2"),
        (
            "list x\n  1\nintent a\n  b {x}\n  b {y:x}\n",
            "5: 'b 1' is 'a' with y '1' here and 'a' with x '1' in line 4",
        ),
        ("list x\n  1\nintent a\n  turn {x}on\n", "4: slot 'x' touches a letter"),
        ("list x\n  1 <x>\nintent a\n  {x}\n", "1: list 'x' leads through more than 10 lists"),
        ("list x\n  {y}\nlist y\n  1\nintent a\n  {x}\n", "6: slot 'x' would hold other slots"),
        ("list x test\n  1\nintent a\n  {x}\n", "4: list 'x' has no values for train"),
        (
            "size train 3\nintent a\n  b|c\n",
            "2: 2 different sentences for 'a' in train, expected 3",
        ),
        ("intent a\n  b\nintent a test\n  (b|b)\n", "3: 0 different sentences for 'a' in test"),
        ("intent a 1\n  b\nintent a train 2\n  c|d\n", "3: this size is already given in line 1"),
    ],
)
def test_faults(folder, content, expected):
    (fault,) = faults(folder, content)
    assert fault.startswith(expected)


signs = st.sampled_from(
    [
        "size ",
        "list ",
        "intent ",
        "train",
        " test",
        "a",
        "b",
        "1",
        "\n",
        "\n  ",
        "#",
        "\r",
        "\u2028",
    ]
    + ["(", ")", "[", "]", "{", "}", "<", ">", "|", ":", "{a}", "<a>", "{b:a}", "list a\n  "]
    + ["intent b\n  ", "intent a test 2\n  ", "list b val\n  "]
)


@given(content=st.one_of(st.binary(), st.lists(st.one_of(signs, signs, st.text())).map("".join)))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_text_raises_nothing_but_data_errors(folder, content):
    path = write(folder, content)
    try:
        sentences, problems = read_grammar(path)
    except DataError as error:
        assert all(problem.severity == "error" for problem in error.problems)
    else:
        assert all(problem.severity == "warning" for problem in problems)
        check(sentences)


def check(sentences: list[Utterance]) -> None:
    """What holds for the sentences of any grammar."""
    assert sentences
    assert len({utterance.text for utterance in sentences}) == len(sentences)
    for text, slots in ((utterance.text, utterance.slots) for utterance in sentences):
        assert text == " ".join(text.split()) != ""
        ends = [0, *(slot.end for slot in slots)]
        for (_, start, end), earlier in zip(slots, ends, strict=False):
            assert earlier <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
