"""A frame's rows in the form of Merlin's dataloader."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from merlin.schema import Schema
from numpy.typing import NDArray

#: Feature name to values; a list feature is ``<name>__values`` and ``<name>__offsets``, as
#: Merlin's dataloader gives it.
Batch = dict[str, NDArray[Any]]


def to_batch(frame: pl.DataFrame, schema: Schema) -> Batch:
    """Return a frame's columns as arrays in the form of Merlin's dataloader.

    Scalars have shape ``(rows,)``; lists are ``<name>__values`` and int32 ``<name>__offsets`` of
    shape ``(rows + 1,)``, those of one length too. A null is an empty list.
    """
    batch: Batch = {}
    for column in schema:
        values = frame[column.name]
        if isinstance(values.dtype, pl.Array):
            values = values.arr.to_list()
        if isinstance(values.dtype, pl.List):
            lengths = values.list.len().fill_null(0).to_numpy()
            flat = values.drop_nulls().explode(empty_as_null=False)
            batch[f"{column.name}__values"] = flat.to_numpy()
            batch[f"{column.name}__offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype(
                np.int32
            )
        else:
            batch[column.name] = values.to_numpy()
    return batch
