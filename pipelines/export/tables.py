"""Write a bundle's tables, which `towermill.pipelines.bundle.tables` maps into memory."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from towermill.columns import ITEM_ID, RAW_PREFIX, USER_ID
from towermill.pipelines.bundle.manifest import ITEMS, SEEN, USERS
from towermill.pipelines.bundle.tables import BY_ID


def write_tables(users: pl.DataFrame, items: pl.DataFrame, seen: pl.DataFrame, out: Path) -> None:
    """Write users, items and seen items into a bundle's folder.

    Parameters
    ----------
    users, items
        A row an id, in the order of encoded ids; raw columns as ``raw_<name>``.
    seen
        ``user_id`` and ``item_id`` (lists), encoded.
    """
    _write_ids(users, USER_ID, out / USERS)
    write_items(items, out)
    write_arrow(seen.sort(USER_ID), out / SEEN)


def write_items(items: pl.DataFrame, out: Path) -> None:
    """Write the items alone: see `write_tables`."""
    _write_ids(items, ITEM_ID, out / ITEMS)


def _write_ids(table: pl.DataFrame, key: str, path: Path) -> None:
    order = table[RAW_PREFIX + key].arg_sort().cast(pl.Int64)
    write_arrow(table.with_columns(order.alias(BY_ID)), path)


def write_arrow(table: pl.DataFrame, path: Path) -> None:
    """Write a table as an Arrow file of one record batch, not compressed: it is to be mapped."""
    whole = table.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    batches = whole.to_batches() or [
        pa.RecordBatch.from_arrays([c.combine_chunks() for c in whole.columns], schema=whole.schema)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(path), whole.schema) as writer:
        (batch,) = batches
        writer.write_batch(batch)
