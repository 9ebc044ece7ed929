"""When to say that none of the known answers fits."""

import numpy as np


def choose_rejection_threshold(
    scores: np.ndarray,
    *,
    is_right: np.ndarray,
    is_out_of_scope: np.ndarray,
    largest_cost: float,
) -> float:
    """Chooses the score from which an example is rejected as out of scope.

    Of all thresholds that cost at most `largest_cost` of the accuracy in scope, it is the one with
    the highest mean of accuracy in scope and recall out of scope; of equal ones, the highest.
    Without examples out of scope it lies half way between the least certain right answer and 1.

    Args:
        scores: float `(examples,)`, from 0 to 1, high for examples that are out of scope.
        is_right: bool `(examples,)`, whether the answer is right if it is not rejected.
        is_out_of_scope: bool `(examples,)`; none of these is right.
        largest_cost: Largest share of the examples in scope that may lose a right answer.

    Returns:
        The threshold, above 0 and at most 1.
    """
    if not is_out_of_scope.any():
        return float(1 + np.max(scores[is_right], initial=0.0)) / 2
    order = np.argsort(-scores, kind="stable")
    ordered = np.concatenate([[1.0], scores[order], [0.0]])
    # Entry i is for the threshold between the i-th highest score and the next.
    lost = np.cumsum([0, *is_right[order]])
    found = np.cumsum([0, *is_out_of_scope[order]])
    out_of_scope = int(np.sum(is_out_of_scope))
    in_scope = max(len(scores) - out_of_scope, 1)
    allowed = (lost / in_scope <= largest_cost) & (ordered[:-1] > ordered[1:])
    # In whole numbers, so that equal gains are equal.
    gain = found * in_scope - lost * out_of_scope
    best = int(np.argmax(np.where(allowed, gain, -np.inf)))
    return float(ordered[best] + ordered[best + 1]) / 2
