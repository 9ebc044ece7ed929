"""The threshold of rejection against all thresholds that there are."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metrics import choose_rejection_threshold

examples = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
        # Half of the smallest is a threshold here, and must not become 0.
        | st.floats(0, 1, width=32, allow_subnormal=False),
        st.sampled_from(["right", "wrong", "out of scope"]),
    ),
    min_size=1,
    max_size=25,
)


def arrays(rows: list[tuple[float, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, kinds = zip(*rows, strict=True)
    kinds = np.array(kinds)
    return np.array(scores, np.float32), kinds == "right", kinds == "out of scope"


def choose(rows: list[tuple[float, str]], cost: float = 1.0) -> float:
    scores, right, out = arrays(rows)
    return choose_rejection_threshold(
        scores, is_right=right, is_out_of_scope=out, largest_cost=cost
    )


def outcome(rows: list[tuple[float, str]], threshold: float) -> tuple[int, int]:
    """Right answers that a threshold loses, and sentences out of scope that it finds."""
    scores, right, out = arrays(rows)
    rejected = scores >= threshold
    return int(np.sum(rejected & right)), int(np.sum(rejected & out))


def gain(rows: list[tuple[float, str]], threshold: float) -> Fraction:
    """Twice the gain in the mean of accuracy in scope and recall out of scope."""
    _, _, out = arrays(rows)
    lost, found = outcome(rows, threshold)
    return Fraction(found, int(out.sum())) - Fraction(lost, max(int((~out).sum()), 1))


def all_thresholds(rows: list[tuple[float, str]]) -> list[float]:
    """One threshold for each set of examples that can be rejected, highest first."""
    edges = sorted({float(score) for score, _ in rows} | {1.0})
    return [edge for edge in reversed(edges) if edge > 0] + [min(e for e in [*edges, 1] if e) / 2]


@given(rows=examples, cost=st.sampled_from([0.0, 0.01, 0.2, 0.34, 1.0]))
def test_the_best_of_all_thresholds_within_the_cost(rows, cost):
    _, _, out = arrays(rows)
    if not out.any():
        return
    threshold = choose(rows, cost)
    assert 0 < threshold <= 1
    in_scope = max(int((~out).sum()), 1)
    allowed = [t for t in all_thresholds(rows) if outcome(rows, t)[0] / in_scope <= cost]
    if not allowed:  # What scores 1 is rejected by any threshold.
        assert outcome(rows, threshold) == outcome(rows, 1.0)
        return
    assert outcome(rows, threshold)[0] / in_scope <= cost
    best = max(gain(rows, t) for t in allowed)
    assert gain(rows, threshold) == best
    highest = next(t for t in allowed if gain(rows, t) == best)
    assert outcome(rows, threshold) == outcome(rows, highest)


@given(rows=examples)
def test_without_examples_out_of_scope_no_right_answer_is_lost(rows):
    rows = [(score, kind) for score, kind in rows if kind != "out of scope" and score < 0.999]
    if rows:
        threshold = choose(rows, 0.0)
        certain = max([score for score, kind in rows if kind == "right"], default=0.0)
        assert threshold == pytest.approx((1 + certain) / 2)
        assert outcome(rows, threshold)[0] == 0


def test_a_clear_gap_is_cut_in_the_middle():
    rows = [(0.1, "right"), (0.2, "right"), (0.8, "out of scope"), (0.9, "out of scope")]
    assert choose(rows, 0.0) == pytest.approx(0.5)


def test_the_cost_keeps_right_answers():
    rows = [(0.9, "right"), (0.8, "out of scope"), (0.7, "out of scope"), *[(0.1, "right")] * 9]
    assert outcome(rows, choose(rows, 0.0)) == (0, 0)
    assert outcome(rows, choose(rows, 0.1)) == (1, 2)


def test_of_equal_thresholds_it_is_the_highest():
    kinds = ["out of scope", "right", "right", "out of scope", "out of scope", "wrong"]
    rows = list(zip([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], kinds, strict=True))
    assert gain(rows, 0.85) == gain(rows, 0.45) == Fraction(1, 3)
    assert choose(rows) == pytest.approx(0.85)


def test_all_out_of_scope_are_all_rejected():
    rows = [(0.3, "out of scope"), (0.6, "out of scope")]
    assert outcome(rows, choose(rows, 0.0)) == (0, 2)


@given(rows=examples, seed=st.integers(0, 99))
def test_the_order_of_examples_changes_nothing(rows, seed):
    order = np.random.default_rng(seed).permutation(len(rows))
    assert choose([rows[place] for place in order], 0.2) == choose(rows, 0.2)
