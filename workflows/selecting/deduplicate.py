"""One interaction a user and item."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from towermill.columns import ITEM_ID, TIMESTAMP, USER_ID
from towermill.workflows.streaming.partition import partitioned, parts_by
from towermill.workflows.tables import row_count

_ROW, _KEPT = "__row", "__kept"
#: Rows of a file of flags.
_CHUNK = 10_000_000


def deduplicated(
    frame: pl.LazyFrame, which: Literal["first", "last"], scratch: Path
) -> pl.LazyFrame:
    """Return, lazily, the rows of `frame` that are the first or last of their user and item.

    By timestamp where there is one, and in the frame's order among equals. The decision, a flag per
    row, is written to `scratch`, where it must exist as long as the returned frame; memory holds
    one part of the rows at a time.
    """
    rows = row_count(frame)
    if not rows:
        return frame
    order = [TIMESTAMP, _ROW] if TIMESTAMP in frame.collect_schema().names() else [_ROW]
    keys = frame.with_row_index(_ROW).select(USER_ID, ITEM_ID, *order)
    # A row's flag is written where it belongs, so that the flags are in the order of the rows.
    kept = np.memmap(scratch / "kept", np.bool_, "w+", shape=(rows,))
    for part in partitioned(keys, parts_by(rows, USER_ID, ITEM_ID), scratch):
        chosen = part.sort(order).unique([USER_ID, ITEM_ID], keep=which, maintain_order=True)
        kept[chosen[_ROW].to_numpy()] = True
    files = []
    for start in range(0, rows, _CHUNK):
        files.append(scratch / f"kept-{start}.parquet")
        pl.DataFrame({_KEPT: kept[start : start + _CHUNK]}).write_parquet(files[-1])
    del kept
    (scratch / "kept").unlink()
    both = pl.concat([frame, pl.scan_parquet(files)], how="horizontal")
    return both.filter(pl.col(_KEPT)).drop(_KEPT)
