"""The best k items of a catalogue for each query: exact, block by block, ties in a stated order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import Lists, ScoreBlock, TopK, check_lists, check_positive

# Bytes of working memory for one score: as given, our copy, its partition (float64), and masks.
_BYTES_A_SCORE = 28


def top_k(
    score_block: ScoreBlock,
    queries: int,
    catalogue: int,
    k: int,
    seen: Lists | None = None,
    *,
    block: int | None = None,
    memory: int = 256 * 2**20,
    advance: Callable[[int], object] | None = None,
) -> TopK:
    """Rank the whole catalogue for each query and keep the k best items.

    Equal scores are ordered by catalogue position, ascending, also where the tie straddles the
    k-th place. The order of ties is thus the caller's order of the catalogue (by item id, say) and
    never the scores' doing: a model with constant scores gets exactly the metrics of that fixed
    order, neither those of the luckiest order (optimistic) nor of the unluckiest (pessimistic).
    A catalogue ordered by popularity would hand such a model the popularity baseline: do not.

    Parameters
    ----------
    score_block
        ``score_block(start, stop)`` returns the scores of queries start … stop-1, shape
        (stop - start, catalogue), any real dtype (ranked as float64 where float32 would round).
        It is not written to. A score of -inf means: never recommend.
    queries, catalogue, k
        Numbers of queries, of items, and of items to keep, which may exceed the catalogue.
    seen
        Items never to be recommended to each query.
    block
        Queries scored at once; by default as many as `memory` allows.
    memory
        Bytes that one block of scores may take, working copies included.
    advance
        Called after each block with its number of queries (for a progress bar).

    Returns
    -------
    TopK
        The same for every block size, if `score_block` gives the same scores. A matrix product
        may not: BLAS rounds the last bit by the shape of the block.

    Raises
    ------
    TowermillError
        If a number is not positive, shapes disagree, or a score is NaN.
    """
    for name, value in (("catalogue", catalogue), ("k", k), ("memory", memory)):
        check_positive(name, value)
    size = max(1, memory // (_BYTES_A_SCORE * catalogue)) if block is None else block
    check_positive("block", size)
    if seen is not None:
        check_lists("seen", seen, queries, catalogue)
    kept = min(k, catalogue)
    positions = np.full((queries, k), -1, np.int32)
    best = np.full((queries, k), -np.inf, np.float32)
    for start in range(0, queries, size):
        stop = min(start + size, queries)
        given = np.asarray(score_block(start, stop))
        if given.shape != (stop - start, catalogue) or given.dtype.kind not in "fiub":
            raise TowermillError(
                f"`score_block` should return real numbers of shape {(stop - start, catalogue)} "
                f"for queries {start} … {stop - 1}. Received: {given.dtype} {given.shape}"
            )
        scores = given.astype(np.promote_types(given.dtype, np.float32), order="C")
        del given
        bad = np.flatnonzero(np.isnan(scores.max(axis=1)))  # a maximum is NaN where any score is
        if len(bad):
            raise TowermillError(
                f"`score_block` returned NaN for {len(bad)} of queries {start} … {stop - 1}, first "
                f"query {start + bad[0]}. Has training diverged? Try a lower learning rate"
            )
        if seen is not None:
            first, last = seen.offsets[start], seen.offsets[stop]
            rows = np.repeat(np.arange(stop - start), seen.lengths[start:stop])
            scores[rows, seen.values[first:last]] = -np.inf
        positions[start:stop, :kept], best[start:stop, :kept] = _best(scores, kept)
        if advance is not None:
            advance(stop - start)
    return TopK(positions, best)


def _best(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return positions and scores of the k best of each row; -1 beside -inf."""
    count = scores.shape[1]
    cut = np.partition(scores, count - k, axis=1)[:, count - k, None].copy()  # frees the rest
    chosen = scores >= cut
    surplus = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
    if len(surplus):  # more items tie at the k-th place than fit: take the first ones
        tied = scores[surplus] == cut[surplus]
        above = chosen[surplus] & ~tied
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen[surplus] = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= room))
    positions = np.flatnonzero(chosen).reshape(-1, k) % count  # ascending, so that a stable sort
    values = np.take_along_axis(scores, positions, axis=1)  # leaves ties in catalogue order
    order = np.argsort(-values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    positions = np.take_along_axis(positions, order, axis=1)
    return np.where(values == -np.inf, -1, positions), values


def dot_product_scores(query_embeddings: ArrayLike, item_embeddings: ArrayLike) -> ScoreBlock:
    """Score by the dot product of query embeddings (queries, dim) and item ones (catalogue, dim).

    Raises
    ------
    DataError
        If either is not 2-D or the dimensions differ.
    """
    query, item = np.asarray(query_embeddings), np.asarray(item_embeddings)
    if query.ndim != 2 or item.ndim != 2 or query.shape[1] != item.shape[1]:
        raise DataError(
            "`query_embeddings` and `item_embeddings` should be 2-D with one dimension. "
            f"Received: shapes {query.shape} and {item.shape}"
        )
    dtype = np.promote_types(np.promote_types(query.dtype, item.dtype), np.float32)
    return partial(_dot, query.astype(dtype, copy=False), item.astype(dtype, copy=False))


def _dot(query: NDArray[Any], item: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    product: NDArray[Any] = query[start:stop] @ item.T
    return product
