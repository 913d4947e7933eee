"""Compute vector lengths in float64, row by row: independent of the other rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Rows that are taken in float64 at a time.
_ROWS: Final = 2**16


def lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the length of each vector ``(rows, dim)``; not finite where a number is not."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS].astype(np.float64)
        found[start : start + _ROWS] = np.sqrt((block * block).sum(axis=1))
    return found


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `vectors` at length 1; one of length 0 stays as it is."""
    found = lengths(vectors)
    made = np.empty_like(vectors)
    for start in range(0, len(vectors), _ROWS):
        part = slice(start, start + _ROWS)
        made[part] = vectors[part] / np.where(found[part] > 0, found[part], 1)[:, None]
    return made
