"""Extend a vocabulary: old ids are kept, new values are appended."""

from __future__ import annotations

import fsspec
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
from nvtabular.ops.categorify import OOV_OFFSET

from towermill.errors import DataError
from towermill.workflows.ops.categories.vocabulary import (
    SIZE,
    meta_path,
    read_vocabulary,
    stacked,
    write_kept,
)

#: The row of nulls in a vocabulary's ``meta`` file.
_NULLS = 1


def extend_vocabulary(
    earlier: str,
    path: str,
    name: str,
    *,
    freq_threshold: int = 0,
    max_size: int = 0,
    num_buckets: int = 0,
) -> None:
    """Replace a vocabulary of new data by an earlier one with the new values appended.

    Parameters
    ----------
    earlier
        The earlier vocabulary's file. Its values keep their ids, and their sizes grow.
    path
        The new data's, with all its values by falling frequency; it and its ``meta`` file are
        written again. What ``meta`` counts of nulls and unknown values is of the new data alone.
    name
        The name in the files' names.
    freq_threshold, max_size, num_buckets
        See Categorify. A new value must occur `freq_threshold` times in the new data; `max_size`
        counts old and new values together, and never takes an old one away.

    Raises
    ------
    DataError
        The values are of types that have none in common.
    """
    old, fresh = _read(earlier, name), _read(path, name)
    keys = [column for column in old.columns if column != SIZE]
    try:
        common = stacked([old.head(0), fresh.select(old.columns).head(0)], name).schema
    except TypeError as error:
        raise DataError(
            f"The values of {name!r} should be of the type that they had in the run that is "
            f"continued. {error}"
        ) from error
    old, fresh = old.cast(common), fresh.select(old.columns).cast(common)
    met = old.select(keys).join(fresh, on=keys, how="left", maintain_order="left")[SIZE]
    old = old.with_columns(pl.col(SIZE) + met.fill_null(0))
    new = fresh.join(old, on=keys, how="anti", maintain_order="left")
    unseen = int(new[SIZE].sum())
    new = new.filter(pl.col(SIZE) >= freq_threshold)
    if max_size:
        room = max_size - max(num_buckets, 1) - OOV_OFFSET - old.height
        new = new.head(max(room, 0))
    write_kept(
        pl.concat([old, new]),
        name,
        path,
        unknown_ids=max(num_buckets, 1),
        nulls=int(pd.read_parquet(meta_path(path))["num_observed"][_NULLS]),
        unknown=unseen - int(new[SIZE].sum()),
    )


def _read(path: str, name: str) -> pl.DataFrame:
    """Return the values, in the order of their ids, with their sizes."""
    fs, where = fsspec.core.url_to_fs(path)
    with fs.open(where, "rb") as file:
        names = pq.read_schema(file).names
    keys = [n for n in names if not n.startswith("__") and n != f"{name}_size"]
    values, _ = read_vocabulary(path, [*keys, f"{name}_size"])
    return values.rename({f"{name}_size": SIZE}).cast({SIZE: pl.Int64})
