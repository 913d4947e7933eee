"""Helpers that the gates share."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Rows of a table, and items, that the costly gates look at: evenly spread over all.
SAMPLE: Final = 1000
#: Within which numbers that were computed twice are equal.
TOLERANCE: Final = 1e-4


def spread(count: int, sample: int = SAMPLE) -> NDArray[np.int64]:
    """Return up to `sample` rows, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, sample)).astype(np.int64))
