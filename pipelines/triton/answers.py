"""Rows of the catalogue as raw ids, in the strings that Triton takes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.tables import IdTable


def named(items: IdTable, rows: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the raw ids of rows as UTF-8, in the same shape; an empty one where the row is -1."""
    names = np.full(rows.shape, b"", np.object_)
    found = rows >= 0
    taken = items.raw(ITEM_ID).take(pa.array(rows[found]))
    names[found] = taken.cast(pa.string()).cast(pa.binary()).to_pylist()
    return names
