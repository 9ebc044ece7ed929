"""Long recordings in windows that a model takes."""

import numpy as np

CUT_SEARCH = 0.3
"""Share of a window, at its end, in which its quietest moment is looked for."""
PIECES_PER_WINDOW = 1500
"""A window is cut between two of so many pieces: of 20 ms in a window of 30 seconds."""
QUIET_PIECES = 11
"""Pieces that are quiet together where a window is cut, so that the cut is in a pause."""


def find_windows(samples: np.ndarray, longest: int) -> list[tuple[int, int]]:
    """Cuts a recording into windows, each at the quietest moment of its last part.

    Args:
        samples: float `(samples,)`.
        longest: int. Samples of a window at most.

    Returns:
        Start and end of each window, one behind the other.
    """
    windows, start = [], 0
    step = max(longest // PIECES_PER_WINDOW, 1)
    while len(samples) - start > longest:
        first = start + int(longest * (1 - CUT_SEARCH))
        part = samples[first : start + longest]
        pieces = part[: len(part) // step * step].reshape(-1, step)
        width = min(QUIET_PIECES, len(pieces))
        energy = np.convolve(np.square(pieces).sum(axis=1), np.ones(width), "valid")
        middle = (2 * int(np.argmin(energy)) + width) * step // 2
        end = max(first + middle, start + 1)
        windows.append((start, end))
        start = end
    return [*windows, (start, len(samples))]
