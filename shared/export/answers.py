"""Answers of several batches as those of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def join_batches(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Joins one output of several batches; those of fewer columns are padded with "", -1 or 0."""
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    padding: Any = {"O": b"", "i": -1}.get(parts[0].dtype.kind, 0)
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [
            np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=padding)
            for part in parts
        ]
    )
