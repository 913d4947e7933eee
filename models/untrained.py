"""Embedding rows that training never met, so that what is unknown is served as an average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from merlin.models.tf.inputs.embedding import EmbeddingTable
from numpy.typing import NDArray

from towermill.columns import PADDING_ID
from towermill.models.data import Processed


def fill_untrained_rows(models: Iterable[Any], data: Processed) -> None:
    """Give rows that training never met the mean of the others, weighted by how often each was met.

    They would stay at their first random values otherwise. Null and out of vocabulary are met only
    where rare values are cut off; so a new user is served like the average one, and so is an item
    that stands in the items table alone.

    Parameters
    ----------
    models
        Keras models with Merlin's embedding tables.
    data
        What they were trained on.
    """
    for model in models:
        for table in {id(m): m for m in model.submodules if isinstance(m, EmbeddingTable)}.values():
            counts = [data.occurrences(name) for name in table.schema.column_names]
            _fill(table, np.sum(counts, axis=0))


def _fill(table: EmbeddingTable, counts: NDArray[np.int64]) -> None:
    rows = table.table.embeddings
    untrained = counts == 0
    untrained[PADDING_ID] = False
    if not untrained.any() or not counts.any():
        return
    values = rows.numpy()
    values[untrained] = np.average(values, axis=0, weights=counts)
    rows.assign(values)
