"""The items' nearest neighbours by the users that they share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: Similarities that are in memory at a time, at most.
_BLOCK = 2**24


def neighbour_matrix(
    matrix: sp.csr_matrix, neighbours: int, shrink: float = 0.0, *, bm25: bool = False
) -> sp.csr_matrix:
    """Return the similarities of items to their nearest neighbours, float32 ``(items, items)``.

    The similarity of i and j is ``w_i · w_j / (|w_i| |w_j| + shrink)`` of their columns of
    weights (Sarwar et al., WWW 2001; the shrink term as in Ferrari Dacrema et al., RecSys 2019).
    Column j holds those of the items most similar to j; j itself is none of them.

    Parameters
    ----------
    matrix
        Interactions, ``(users, items)``.
    neighbours
        Number kept per column; of equal ones, those of the first rows.
    shrink
        From 0.
    bm25
        Weigh the interactions by `bm25_weights`.

    Examples
    --------
    >>> from towermill.models.architectures.linear.matrix import binary
    >>> matrix = binary([0, 0, 1, 1], [0, 1, 0, 1], width=2)
    >>> neighbour_matrix(matrix, 1, shrink=2.0).toarray().tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    weighted = bm25_weights(matrix) if bm25 else matrix
    items = weighted.shape[1]
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel())
    of_items = weighted.T.tocsr()
    size = max(1, _BLOCK // max(items, 1))
    columns = []
    for start in range(0, items, size):
        stop = min(start + size, items)
        block = (of_items[start:stop] @ weighted).toarray()  # row by row the columns of the result
        block /= np.maximum(lengths[start:stop, None] * lengths + shrink, 1e-12)
        block[np.arange(stop - start), np.arange(start, stop)] = 0.0
        columns.append(_greatest(block, neighbours))
    return sp.vstack(columns, format="csr").T.tocsr()


def bm25_weights(matrix: sp.csr_matrix, k1: float = 1.2, b: float = 0.75) -> sp.csr_matrix:
    """Return interactions weighted by BM25 (Robertson and Walker, SIGIR 1994).

    Items are the documents and users the words: users with many items weigh little, and so do the
    interactions of items with many users.
    """
    items = matrix.shape[1]
    per_user = np.diff(matrix.indptr)
    per_item = np.asarray(matrix.sum(axis=0)).ravel()
    rarity = np.log(items) - np.log1p(per_user)
    length = (1 - b) + b * per_item / max(per_item.mean(), 1e-12)
    weighted = matrix.copy().astype(np.float32)
    tf = weighted.data * (k1 + 1) / (k1 * length[weighted.indices] + weighted.data)
    weighted.data = (tf * np.maximum(np.repeat(rarity, per_user), 0.0)).astype(np.float32)
    return weighted


def _greatest(block: NDArray[np.float32], count: int) -> sp.csr_matrix:
    """Return the `count` greatest entries above 0 of each row."""
    if count < block.shape[1]:
        order = np.argsort(-block, axis=1, kind="stable")[:, count:]
        np.put_along_axis(block, order, 0.0, axis=1)
    return sp.csr_matrix(np.maximum(block, 0.0), dtype=np.float32)
