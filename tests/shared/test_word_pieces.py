"""Words to pieces, against a few lines of Python."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from shared.export.saved_model import SessionModel, write_saved_model
from shared.export.verification import ALLOWED_OPS
from shared.layers.word_pieces import WordPieces

PIECES = ("play", "##ing", "##s", "##i", "p", "##l", "##a", "##y", "é", "e", "##\u0301", "😀", "#")
# Few characters, so that pieces fit; a mark, four bytes, the mark of a continuation, and no text.
CHARACTERS = "aab#é\u0301😀\0\ufeff"
any_text = st.text(st.sampled_from(CHARACTERS) | st.characters(exclude_categories=["Cs"]))
any_words = st.lists(any_text | st.text(st.sampled_from("ab"), max_size=9), max_size=8)
any_pieces = st.lists(
    st.tuples(st.sampled_from(["", "##"]), st.text(st.sampled_from(CHARACTERS), max_size=3))
    .map("".join)
    .filter(lambda piece: piece not in ("", "##")),
    unique=True,
    max_size=30,
)


def greedy(word: str, pieces: Sequence[str], max_characters: int = 32) -> list[int]:
    """The longest piece, again and again."""
    numbers = {piece: number for number, piece in enumerate(pieces, start=2)}
    rest, found, mark = word[:max_characters], [], ""
    while rest:
        lengths = [n for n in range(1, len(rest) + 1) if fits(mark, rest[:n], numbers)]
        if not lengths:
            return [1]
        found.append(numbers[mark + rest[: lengths[-1]]])
        rest, mark = rest[lengths[-1] :], "##"
    return found


def fits(mark: str, text: str, numbers: dict[str, int]) -> bool:
    return mark + text in numbers and (mark == "##" or not text.startswith("##"))


def cut(layer: WordPieces, words: Sequence[str | bytes]) -> list[list[int]]:
    pieces = layer(tf.constant(words, tf.string, (len(words),)))
    assert pieces.dtype == tf.int32
    return pieces.to_list()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("play", ["play"]),
        ("playing", ["play", "##ing"]),
        ("plays", ["play", "##s"]),
        ("pla", ["p", "##l", "##a"]),
        ("plai", ["p", "##l", "##a", "##i"]),
        ("e\u0301", ["e", "##\u0301"]),
        ("é", ["é"]),
        ("😀", ["😀"]),
        ("#", ["#"]),
        ("", []),
    ],
)
def test_the_longest_piece_from_the_left(word, expected):
    assert cut(WordPieces(PIECES), [word]) == [[PIECES.index(piece) + 2 for piece in expected]]


@pytest.mark.parametrize(
    "word", ["x", "playx", "xplay", "y", "ing", "plain", "😀😀", "##ing", "##"]
)
def test_a_word_that_cannot_be_cut_is_one_unknown(word):
    assert cut(WordPieces(PIECES), ["play", word, "plays"]) == [[2], [1], [2, 4]]


@given(words=any_words, pieces=any_pieces, max_characters=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_any_words_and_pieces_against_python(words, pieces, max_characters):
    expected = [greedy(word, pieces, max_characters) for word in words]
    assert cut(WordPieces(pieces, max_characters), words) == expected


def test_many_words_and_pieces():
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcd"), size)) for size in random.integers(1, 12, 3000)]
    pieces = list(dict.fromkeys([*"abc", *("##" + c for c in "abcd"), *texts[:500]]))
    pieces += dict.fromkeys("##" + text[:5] for text in texts[500:1500] if len(text) > 1)
    layer = WordPieces(pieces)
    assert layer.size == len(pieces) + 2
    assert cut(layer, texts) == [greedy(text, pieces) for text in texts]


def test_other_words_change_nothing():
    words = ["playing", "", "x", "plays", "e\u0301", "pl" * 50, "", "playx"]
    layer = WordPieces(PIECES)
    together = cut(layer, words)
    assert together == [cut(layer, [word])[0] for word in words]
    assert cut(layer, words[::-1]) == together[::-1]


@pytest.mark.parametrize("character", ["a", "é", "😀"])
def test_only_the_beginning_of_a_long_word_is_read(character):
    layer = WordPieces((character, "##" + character), max_characters=5)
    words = [character * 5, character * 1_000_000, character * 5 + "x", character * 4 + "x"]
    assert cut(layer, words) == [[2, 3, 3, 3, 3]] * 3 + [[1]]


@pytest.mark.parametrize("raw", [b"a\xff", b"\xe2\x82", b"a\xf0\x9f\x98", b"\xed\xa0\x80", b"a\0b"])
def test_bytes_are_read_as_python_reads_them(raw):
    pieces = ("a", "##b", "\ufffd", "##\ufffd", "##\0")
    expected = greedy(raw.decode("utf-8", errors="replace"), pieces)
    assert cut(WordPieces(pieces), [raw, b"a"]) == [expected, [2]]


def test_nothing_to_do():
    layer = WordPieces(PIECES)
    assert cut(layer, []) == []
    assert cut(layer, ["", ""]) == [[], []]
    assert cut(WordPieces(()), ["", "a"]) == [[], [1]]
    assert WordPieces(()).size == 2


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (("b", "a", "##a", "b"), r"`pieces` has \['b'\] twice; expected every piece once"),
        (("a", "##", ""), r"`pieces` has \['', '##'\]; expected a character in every piece"),
    ],
)
def test_impossible_pieces_are_refused(pieces, message):
    with pytest.raises(ValueError, match=message):
        WordPieces(pieces)


def test_something_must_be_read():
    with pytest.raises(ValueError, match="`max_characters` is 0; expected at least 1"):
        WordPieces(PIECES, max_characters=0)


def test_in_a_data_set():
    layer = WordPieces(PIECES)
    data = tf.data.Dataset.from_tensor_slices(["playing", "", "x", "plays"]).batch(3)
    found = [numbers.to_list() for numbers in data.map(layer)]
    assert found == [[[2, 3], [], [1]], [[2, 4]]]


def test_a_session_answers_as_python_does_with_ops_that_every_server_has(tmp_path):
    layer = WordPieces(PIECES)
    signature = [tf.TensorSpec((None,), tf.string, name="words")]

    @tf.function(input_signature=signature, autograph=False)
    def answer(words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pieces": layer(words).to_tensor()}

    write_saved_model(tmp_path, {"serving_default": answer}, [])
    session = SessionModel(tmp_path)
    for words in (["playing", "", "xé", "play" * 20, "plays"], ["é"], [""]):
        expected = layer(tf.constant(words)).to_tensor()
        found = session.predict(words=np.array([word.encode() for word in words], object))
        np.testing.assert_array_equal(found["pieces"], expected)
    content = (tmp_path / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    functions = graph.library.function
    ops = {node.op for node in (*graph.node, *(n for f in functions for n in f.node_def))}
    assert ops - {function.signature.name for function in functions} <= ALLOWED_OPS
    assert not any("Table" in op for op in ops)


def test_the_configuration_goes_round():
    described = keras.saving.serialize_keras_object(WordPieces(PIECES, max_characters=5))
    copy = keras.saving.deserialize_keras_object(described)
    assert cut(copy, ["playing", "playx"]) == [[2, 5], [1]]
    assert copy.size == len(PIECES) + 2
