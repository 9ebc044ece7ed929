"""Word and character error rates of transcripts, and the alignment behind them.

Edits are substitutions, deletions and insertions, and as few as possible: Levenshtein, "Binary
codes capable of correcting deletions, insertions, and reversals", 1966; found by the table of
Wagner and Fischer, "The string-to-string correction problem", 1974.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np


class AlignedWord(NamedTuple):
    """A word of a reference, of a hypothesis or of both.

    Attributes:
        operation: What makes the reference's word the hypothesis'.
        reference: The reference's word, `""` where one is inserted.
        hypothesis: The hypothesis' word, `""` where one is deleted.
    """

    operation: Literal["equal", "substitute", "delete", "insert"]
    reference: str
    hypothesis: str


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Computes the error rates over a corpus.

    Texts are compared as they are, but for white space around them and, for words, between them.

    Args:
        references: What was said, one text for each recording.
        hypotheses: What was recognised.

    Returns:
        `wer` and `cer`: edits of words and of characters, divided by the references' words and
        characters, over all texts; they may exceed 1. An empty reference adds its hypothesis as
        insertions; if all references are empty, the edits are divided by 1, as in jiwer.

    Raises:
        ValueError: If there are no texts, or their numbers differ.
    """
    if not references or len(references) != len(hypotheses):
        raise ValueError(
            f"There are {len(references)} references and {len(hypotheses)} hypotheses; "
            "expected one of each for every recording, and at least one recording."
        )
    return {
        "wer": _error_rate([text.split() for text in references], [h.split() for h in hypotheses]),
        "cer": _error_rate([text.strip() for text in references], [h.strip() for h in hypotheses]),
    }


def align_words(reference: str, hypothesis: str) -> list[AlignedWord]:
    """Lays a hypothesis beside its reference with the fewest edits.

    Args:
        reference: What was said.
        hypothesis: What was recognised.

    Returns:
        All words of both texts, in order.
    """
    left, right = reference.split(), hypothesis.split()
    costs = _edit_costs(left, right)
    row, column = len(left), len(right)
    aligned: list[AlignedWord] = []
    while row or column:
        above = row and costs[row - 1, column] + 1 == costs[row, column]
        before = column and costs[row, column - 1] + 1 == costs[row, column]
        if above:
            row -= 1
            aligned.append(AlignedWord("delete", left[row], ""))
        elif before:
            column -= 1
            aligned.append(AlignedWord("insert", "", right[column]))
        else:
            row, column = row - 1, column - 1
            is_equal = left[row] == right[column]
            operation: Literal["equal", "substitute"] = "equal" if is_equal else "substitute"
            aligned.append(AlignedWord(operation, left[row], right[column]))
    return aligned[::-1]


def _error_rate(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> float:
    pairs = zip(references, hypotheses, strict=True)
    edits = sum(int(_edit_costs(reference, hypothesis)[-1, -1]) for reference, hypothesis in pairs)
    return edits / max(1, sum(map(len, references)))


def _edit_costs(reference: Sequence[str], hypothesis: Sequence[str]) -> np.ndarray:
    """Fewest edits from the first `row` parts of one to the first `column` of the other."""
    numbers = {part: number for number, part in enumerate({*reference, *hypothesis})}
    rows, columns = (
        np.array([numbers[part] for part in sequence], int) for sequence in (reference, hypothesis)
    )
    is_equal = rows[:, np.newaxis] == columns
    # Less the column, insertions cost nothing and a running minimum covers them all.
    costs = np.zeros((len(rows) + 1, len(columns) + 1), int)
    for row, is_same in enumerate(is_equal):
        best = costs[row] + 1
        np.minimum(best[1:], costs[row, :-1] - is_same, out=best[1:])
        np.minimum.accumulate(best, out=costs[row + 1])
    return costs + np.arange(len(columns) + 1)
