"""Kinds of characters and their forms for look-up, as small constants in a TensorFlow graph.

What a character is, Python's `unicodedata` says when the graph is built; from then on the graph
carries it, so that a server answers as the training machine did, whatever its Unicode version and
language settings are. (`tf.strings.lower` asks the machine's locale: "TITLE" becomes "tıtle" on a
Turkish one; and it cuts strings at a NUL character.)
"""

import unicodedata
from collections.abc import Callable
from functools import cache

import numpy as np
import tensorflow as tf

SPACE, INVISIBLE, JOINER, MARK, LETTER, DIGIT, SYMBOL, REGIONAL, SINGLE = range(9)

_ZERO_WIDTH_JOINER = 0x200D
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_EMOJI_TAGS = range(0xE0020, 0xE0080)
# Unicode has assigned nothing between these, and private characters behind them.
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))
_CODE_POINTS = 0x110000

# Written without spaces between words, most characters being words or syllables of their own.
_IDEOGRAPHS = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA", "HENTAIGANA ")
_TYPOGRAPHIC = str.maketrans(
    "\u2018\u2019\u201a\u201b\u2032\u2035\u02bc`\u00b4"
    "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    "'" * 9 + '"' * 8 + "-" * 7,
)


def character_class(character: str) -> int:
    """The class of one character, one of `SPACE` to `SINGLE`.

    `SPACE`: `str.isspace`. `INVISIBLE`: other control and format characters (categories Cc, Cf),
    such as the zero-width space, the byte order mark, the soft hyphen and directional marks.
    `JOINER`: the zero-width joiner. `MARK`: what belongs to the character before it, that is
    combining marks and variation selectors (M), emoji skin tones and tags. `LETTER`: L.
    `DIGIT`: N. `SYMBOL`: S, and what this Python's Unicode does not know (newer emoji).
    `REGIONAL`: the letters of flags. `SINGLE`: punctuation, ideographs and kana.
    """
    code, category = ord(character), unicodedata.category(character)
    if character.isspace():
        return SPACE
    if code in _SKIN_TONES or code in _EMOJI_TAGS or category[0] == "M":
        return MARK
    if category in ("Cc", "Cf"):
        return JOINER if code == _ZERO_WIDTH_JOINER else INVISIBLE
    if category[0] == "P" or _is_ideograph(character, category):
        return SINGLE
    if code in _REGIONAL_INDICATORS:
        return REGIONAL
    return {"L": LETTER, "N": DIGIT}.get(category[0], SYMBOL)


def folded(character: str) -> str:
    """The form of one character that look-up compares, or "" if look-up passes over it.

    Compatibility forms become plain ("Ａ" to "a", "²" to "2", NFKC), case is folded ("É" to "é",
    "ς" to "σ"), curly quotes, primes and accents that stand for them become ' and ", dashes become
    a hyphen. What would become several characters ("ß", "ﬁ") stays, except that "İ" becomes "i".
    Passed over are `INVISIBLE` and `JOINER`.
    """
    if character_class(character) in (INVISIBLE, JOINER):
        return ""
    compatible = unicodedata.normalize("NFKC", character)
    plain = compatible if len(compatible) == 1 else character
    folding = plain.casefold()
    # Only "İ" becomes longer in lower case; the dot that it would keep is a mark of its own.
    return (folding if len(folding) == 1 else plain.lower()[0]).translate(_TYPOGRAPHIC)


def classify(codes: tf.Tensor) -> tf.Tensor:
    """Returns the int32 class of each int32 code point, as `character_class`."""
    return _look_up(codes, *_table(character_class, SYMBOL))


def fold(codes: tf.Tensor) -> tf.Tensor:
    """Returns for each int32 code point the one that stands for it, as `folded`; -1 for ""."""
    return codes + _look_up(codes, *_table(_folding_distance, 0))


def _is_ideograph(character: str, category: str) -> bool:
    is_candidate = category in ("Lo", "Lm", "Nl")
    return is_candidate and unicodedata.name(character, "").startswith(_IDEOGRAPHS)


def _folding_distance(character: str) -> int:
    form = folded(character)
    return (ord(form) if form else -1) - ord(character)


@cache
def _table(function: Callable[[str], int], otherwise: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the value of `function` changes, and the values from there on."""
    values = np.full(_CODE_POINTS, otherwise, np.int32)
    for codes in _ASSIGNED:
        values[codes.start : codes.stop] = [function(chr(code)) for code in codes]
    starts = np.flatnonzero(np.diff(values, prepend=values[0] + 1)).astype(np.int32)
    return starts, values[starts]


def _look_up(codes: tf.Tensor, starts: np.ndarray, values: np.ndarray) -> tf.Tensor:
    return tf.gather(values, tf.searchsorted(starts, codes, side="right") - 1)
