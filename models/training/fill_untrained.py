"""Fill embedding rows that training never updated, so that unknown values get an average."""

from __future__ import annotations

import numpy as np
from merlin.models.tf.inputs.embedding import EmbeddingTable
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, PADDING_ID
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed


def fill_untrained_rows(
    model: Retriever | Ranker, data: Processed, earlier: Processed | None = None
) -> None:
    """Set rows that training never updated to the mean of the others, by training frequency.

    They would otherwise keep their random initial values. Null and out of vocabulary occur only
    where rare values are cut off; so a new user is served like the average one, and so is an item
    that is in the items table alone.

    Parameters
    ----------
    model
        Trained; its embedding tables of Merlin's kind are changed.
    data
        The data that it was trained on.
    earlier
        For a continued run, its earlier training data: then only the rows of null and out of
        vocabulary are filled.
    """
    for part in model.parts:
        for table in {id(m): m for m in part.submodules if isinstance(m, EmbeddingTable)}.values():
            counts = np.zeros(table.input_dim, np.int64)
            for name in table.schema.column_names:
                for rows in (data, *([earlier] if earlier else [])):
                    found = rows.occurrences(name)
                    counts[: len(found)] += found
            # What an earlier run learned of, or growth has filled, stays.
            _fill(table, counts, FIRST_ID if earlier else table.input_dim)


def _fill(table: EmbeddingTable, counts: NDArray[np.int64], end: int) -> None:
    rows = table.table.embeddings
    untrained = counts == 0
    untrained[PADDING_ID] = False
    untrained[end:] = False
    if not untrained.any() or not counts.any():
        return
    values = rows.numpy()
    values[untrained] = np.average(values, axis=0, weights=counts)
    rows.assign(values)
