"""Format rows of the catalogue and their scores for Triton's clients."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.bundle.tables import IdTable

#: The score of no item: below all others, and unlike infinity a number in JSON.
NO_SCORE: Final = np.finfo(np.float32).min


def named(items: IdTable, rows: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the raw ids of rows as UTF-8, in the same shape; an empty one where the row is -1."""
    names = np.full(rows.shape, b"", np.object_)
    found = rows >= 0
    taken = items.raw(ITEM_ID).take(pa.array(rows[found]))
    names[found] = taken.cast(pa.string()).cast(pa.binary()).to_pylist()
    return names


def scored(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of rows; `NO_SCORE` where the row is -1."""
    return np.where(rows >= 0, scores, NO_SCORE)
