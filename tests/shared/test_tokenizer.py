import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from shared.export.saved_model import SessionModel, write_saved_model
from shared.export.verification import ALLOWED_OPS
from shared.layers.tokenizer import (
    character_ids,
    clean,
    is_valid_utf8,
    normalize,
    slice_text,
    token_boundaries,
    tokenize,
)
from shared.layers.unicode_classes import character_class, classify, fold, folded

# Every kind of character, and those that ask for a rule of their own.
TRICKY = "aÉßİıДعשก한あカー漢々〆〇5٣½Ⅷ²_.,'’“”-–€+© \t\n\u00a0\u3000\0\x1c\x85\xad"
TRICKY += "\u200b\u200c\u200d\u200e\ufeff\u2060\u0301\u0903\u20e3\ufe0f\ufffd\ue000\U0010ffff"
TRICKY += "🇩🇪👍🏽👨👧❤🏴\U000e0067\U000e007f"
texts_of_any_kind = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]))
bytes_of_any_kind = st.lists(
    st.binary(max_size=4) | texts_of_any_kind.map(str.encode), max_size=6
).map(b"".join)

SENTENCES = {
    "wake me at 5pm": "wake|me|at|5|pm",
    "it's 21.5°C, snake_case!": "it|'|s|21|.|5|°|C|,|snake|_|case|!",
    "“Ça va?” e\u0301te\u0301": "“|Ça|va|?|”|e\u0301te\u0301",
    "ПРИВЕТ İstanbul": "ПРИВЕТ|İstanbul",
    "שלום, مرحبا ١٢": "שלום|,|مرحبا|١٢",
    "می\u200cخواهم हिन्दी": "می\u200cخواهم|हिन्दी",
    "東京タワー 한국어 2024年": "東|京|タ|ワ|ー|한국어|2024|年",
    "ok👍🏽👨\u200d👩\u200d👧❤️\u200d🔥": "ok|👍🏽|👨\u200d👩\u200d👧|❤️\u200d🔥",
    "🇩🇪🇫🇷🇬 1️⃣🏴\U000e0067\U000e0062\U000e007f": "🇩🇪|🇫🇷|🇬|1️⃣|🏴\U000e0067\U000e0062\U000e007f",
    "\ufeffco\xadop\u200b\u200e x\u200dy": "co\xadop|x\u200dy",
    " \u0301\u0302a": "\u0301\u0302|a",
    "": "",
    " \t\u3000\n\u200b": "",
}


def kind_of(character: str) -> str:
    category = unicodedata.category(character)
    name = unicodedata.name(character, "")
    if character.isspace():
        return "space"
    if category[0] == "M" or "EMOJI MODIFIER FITZPATRICK" in name:
        return "mark"
    if category in ("Cc", "Cf"):
        return "mark" if 0xE0020 <= ord(character) <= 0xE007F else "invisible"
    if name.startswith("REGIONAL INDICATOR SYMBOL"):
        return "flag"
    is_syllable = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATA", "IDEOGRAPHIC", "HENTAIGANA")
    if category in ("Lo", "Lm", "Nl") and name.startswith(is_syllable):
        return "single"
    return {"L": "letter", "N": "digit", "P": "single"}.get(category[0], "symbol")


def reference(text: str) -> list[tuple[int, int]]:
    """One character after the other, as the docstring of `tokenize` says."""
    spans: list[list[int]] = []
    before, is_half_flag = "space", False
    for position, character in enumerate(text):
        kind = kind_of(character)
        if kind == "mark" and before != "space":
            spans[-1][1] = position + 1
        elif kind != "invisible":
            is_run = kind in ("letter", "digit")
            is_sequence = kind == "symbol" and text[position - 1 : position] == "\u200d"
            is_half_flag = kind == "flag" and not (before == "flag" and is_half_flag)
            is_flag = kind == "flag" and not is_half_flag
            if kind == before and (is_run or is_sequence or is_flag):
                spans[-1][1] = position + 1
            elif kind != "space":
                spans.append([position, position + 1])
            before = kind
    return [(start, end) for start, end in spans]


def spans_of(texts: list[bytes]) -> list[list[tuple[int, int]]]:
    tokens = tokenize(tf.constant(texts, tf.string))
    rows = zip(tokens.starts.to_list(), tokens.ends.to_list(), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]


def decoded(words: tf.RaggedTensor) -> list[list[str]]:
    return [[word.decode() for word in row] for row in words.to_list()]


@pytest.mark.parametrize("text", SENTENCES)
def test_tokens(text):
    words = SENTENCES[text].split("|") if SENTENCES[text] else []
    assert decoded(tokenize([text]).words) == [words]
    assert [text[start:end] for start, end in token_boundaries([text])[0]] == words


@settings(deadline=None, max_examples=200)
@given(st.lists(texts_of_any_kind, max_size=5))
def test_tokens_equal_the_reference_and_do_not_depend_on_other_rows(texts):
    assert token_boundaries(texts) == [reference(text) for text in texts]


@settings(deadline=None, max_examples=200)
@given(st.lists(bytes_of_any_kind, max_size=4))
def test_bytes_of_any_kind(texts):
    read = [text.decode("utf-8", errors="replace") for text in texts]
    assert [text.decode() for text in clean(tf.constant(texts, tf.string)).numpy()] == read
    valid = is_valid_utf8(tf.constant(texts, tf.string)).numpy().tolist()
    assert valid == [text == again.encode() for text, again in zip(texts, read, strict=True)]
    tokens = tokenize(tf.constant(texts, tf.string))
    assert spans_of(texts) == [reference(text) for text in read]
    assert decoded(tokens.words) == [
        [text[start:end] for start, end in reference(text)] for text in read
    ]
    starts, ends = tokens.starts.to_tensor(-1), tokens.ends.to_tensor(0)
    slices = slice_text(tf.constant(texts, tf.string), starts, ends)
    np.testing.assert_array_equal(slices, tokens.words.to_tensor(b""))


@settings(deadline=None)
@given(bytes_of_any_kind, st.integers(-9, 30), st.integers(-9, 30))
def test_slice_text_cuts_as_python_does(text, start, end):
    expected = text.decode("utf-8", errors="replace")[max(start, 0) : max(end, 0)]
    assert slice_text([text], [start], [end]).numpy()[0].decode() == expected
    assert slice_text([text], [[start, 0]], [[end, 0]]).numpy().tolist() == [
        [expected.encode(), b""]
    ]


def test_a_lone_surrogate_moves_nothing():
    assert token_boundaries(["a \ud800 b"]) == [[(0, 1), (2, 3), (4, 5)]]


def test_many_texts_keep_their_order():
    texts = ["word " * (row % 7) for row in range(1000)]
    assert [len(row) for row in token_boundaries(texts)] == [row % 7 for row in range(1000)]


@pytest.mark.parametrize(("unit", "num_tokens"), [("a", 1), ("\u0301", 1), ("a ", 500_000)])
def test_a_text_of_a_million_characters(unit, num_tokens):
    text = unit * (1_000_000 // len(unit))
    tokens = tokenize([text])
    assert tokens.words.row_lengths().numpy().tolist() == [num_tokens]
    assert tokens.ends[0, -1] == len(text.rstrip())


def test_the_graph_knows_every_character():
    classes = [character_class(chr(code)) for code in range(sys.maxunicode + 1)]
    np.testing.assert_array_equal(classify(tf.range(len(classes))), classes)
    forms = [folded(chr(code)) for code in range(0x20000)]
    codes = [ord(form) if form else -1 for form in forms]
    np.testing.assert_array_equal(fold(tf.range(len(codes))), codes)


def test_normalize():
    words = ["TITLE", "ÉCOLE", "ДОМ", "İSTANBUL", "ΟΔΟΣ", "ςσ", "Ａ１ℂ", "it’s", "“„", "–", "ﬁß"]
    words += ["a\xad\u200bb\0C", "e\u0301", "👨\u200d👧", ""]
    forms = ["title", "école", "дом", "istanbul", "οδοσ", "σσ", "a1c", "it's", '""', "-", "ﬁß"]
    forms += ["abc", "e\u0301", "👨👧", ""]
    assert [word.decode() for word in normalize(words).numpy()] == forms
    assert normalize("Up").numpy() == b"up"
    np.testing.assert_array_equal(normalize([["A"], ["B"]]), [[b"a"], [b"b"]])
    ragged = normalize(tf.ragged.constant([["A", "b"], [], ["C"]]))
    assert ragged.to_list() == [[b"a", b"b"], [], [b"c"]]


@settings(deadline=None)
@given(st.lists(texts_of_any_kind))
def test_normalize_leaves_its_own_result_alone(words):
    once = normalize(tf.constant(words, tf.string))
    np.testing.assert_array_equal(normalize(once), once)


@pytest.mark.parametrize(("length", "buckets"), [(1, 1), (4, 128), (5, 7)])
@settings(deadline=None)
@given(words=st.lists(texts_of_any_kind))
def test_character_ids(length, buckets, words):
    head = length - length // 2
    expected = np.zeros((len(words), length), np.int32)
    for row, word in enumerate(words):
        kept = word if len(word) <= length else word[:head] + word[len(word) - length + head :]
        expected[row, : len(kept)] = [1 + ord(character) % buckets for character in kept]
    ids = character_ids(tf.constant(words, tf.string), length, buckets)
    assert ids.dtype == tf.int32
    np.testing.assert_array_equal(ids, expected)


@pytest.mark.parametrize(("length", "buckets"), [(0, 8), (8, 0)])
def test_character_ids_want_sizes(length, buckets):
    with pytest.raises(ValueError, match=rf"`length` is {length} and `buckets` is {buckets}; exp"):
        character_ids(tf.constant(["a"]), length, buckets)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")], autograph=False)
def answer(text: tf.Tensor) -> dict[str, tf.Tensor]:
    tokens = tokenize(text)
    starts, ends = tokens.starts.to_tensor(-1), tokens.ends.to_tensor(0)
    ids = character_ids(normalize(tokens.words.flat_values), 8, 256)
    return {
        "words": slice_text(text, starts, ends),
        "forms": normalize(tokens.words).to_tensor(),
        "starts": starts,
        "ends": ends,
        "characters": tokens.words.with_values(ids).to_tensor(),
        "is_valid": is_valid_utf8(text),
    }


def test_a_session_answers_as_python_does(tmp_path):
    write_saved_model(tmp_path, {"serving_default": answer}, [])
    session = SessionModel(tmp_path)
    rows = [text.encode() for text in SENTENCES] + [b"\xffA\xed\xa0\x80\0b", b"\xc0"]
    for batch in (rows, rows[:1], [b""]):
        texts = np.array(batch, object)
        expected = answer(tf.constant(batch))
        for name, value in session.predict(text=texts).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_the_graph_asks_nothing_unusual_of_a_server(tmp_path):
    write_saved_model(tmp_path, {"serving_default": answer}, [])
    content = (tmp_path / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    functions = graph.library.function
    ops = {node.op for node in (*graph.node, *(n for f in functions for n in f.node_def))}
    assert ops - {function.signature.name for function in functions} <= ALLOWED_OPS
    assert len(content) < 500_000
