"""The matrix of interactions that linear models are solved on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import ArrayLike

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID

if TYPE_CHECKING:
    from towermill.models.data.interactions import Processed


def interaction_matrix(data: Processed) -> sp.csr_matrix:
    """Return the training interactions, float32 ``(users, items)``.

    An entry is 1 where the user of that row has the item of that row of `Processed.items`, however
    often, in training or in a run before it. Users without a known item have no row.
    """
    pairs = _pairs(data).sort(USER_ID, ITEM_ID)
    users = np.unique(pairs[USER_ID].to_numpy(), return_inverse=True)[1]
    return binary(users, pairs[ITEM_ID].to_numpy() - FIRST_ID, data.items.height)


def _pairs(data: Processed) -> pl.DataFrame:
    """Return the distinct pairs of training, of the runs before too, as histories hold them."""
    if not data.has_histories:
        return data.met()
    lists = data.sequences.select(USER_ID, pl.col("train").alias(ITEM_ID))
    return lists.explode(ITEM_ID, empty_as_null=True).drop_nulls().unique()


def binary(
    rows: ArrayLike, columns: ArrayLike, width: int, height: int | None = None
) -> sp.csr_matrix:
    """Return a float32 matrix of ones at these places, which may repeat.

    Without `height`, the last row is the last that is named.

    Examples
    --------
    >>> binary([0, 0, 1], [2, 2, 0], width=3).toarray().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    row, column = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    if height is None:
        height = int(row.max()) + 1 if len(row) else 0
    made = sp.csr_matrix((np.ones(len(row), np.float32), (row, column)), (height, width))
    made.sum_duplicates()
    made.data[:] = 1.0
    return made
