"""Embedding rows that training never met, so that what is unknown is served as an average."""

from __future__ import annotations

import numpy as np
import polars as pl
from merlin.models.tf.inputs.embedding import EmbeddingTable
from numpy.typing import NDArray

from towermill.columns import NULL_ID, OOV_ID
from towermill.models.data import Processed
from towermill.models.retriever import Retriever


def fill_untrained_rows(
    retriever: Retriever, data: Processed, earlier: Processed | None = None
) -> None:
    """Give null and out of vocabulary the mean of the other rows, weighted by training rows.

    Only where training never met them: with every category kept, no training row is unknown, and
    the row would stay at its first random values. A new user is then served like the average one.
    The training of a continued run is that of the `earlier` one as well.
    """
    for tower in (retriever.query_tower, retriever.item_tower):
        tables = {id(m): m for m in tower.submodules if isinstance(m, EmbeddingTable)}
        for table in tables.values():
            counts = _counts(data, table)
            if earlier is not None:
                counts += _counts(earlier, table)
            _fill(table, counts)


def _counts(data: Processed, table: EmbeddingTable) -> NDArray[np.int64]:
    """Return how often each id of the table stands in training, over the columns that share it."""
    counts = np.zeros(table.input_dim, np.int64)
    for name in table.schema.column_names:
        column = data.scan("train").select(pl.col(name).alias("id"))
        if isinstance(column.collect_schema()["id"], pl.List):
            column = column.explode("id", empty_as_null=True).drop_nulls()
        found = column.group_by("id").len().collect(engine="streaming")
        np.add.at(counts, found["id"].to_numpy(), found["len"].to_numpy())
    return counts


def _fill(table: EmbeddingTable, counts: NDArray[np.int64]) -> None:
    rows = table.table.embeddings
    untrained = [row for row in (NULL_ID, OOV_ID) if row < len(counts) and not counts[row]]
    if not untrained or not counts.any():
        return
    values = rows.numpy()
    values[untrained] = np.average(values, axis=0, weights=counts)
    rows.assign(values)
