"""The best k items of a catalogue for each query: exact, block by block, ties in a stated order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError

#: ``scores(start, stop)``: scores of queries start … stop-1, shape (stop - start, catalogue).
ScoreBlock = Callable[[int, int], NDArray[Any]]

# Bytes of working memory for one score: as given, our copy, its partition (float64), and masks.
_BYTES_A_SCORE = 28


@dataclass(frozen=True, eq=False)
class Lists:
    """A set of item positions for each query, stored flat (as in a CSR matrix).

    Parameters
    ----------
    offsets
        int64, (queries + 1,): the set of query q is ``values[offsets[q]:offsets[q + 1]]``.
    values
        int32, (total,): item positions from 0, strictly ascending within a query.

    Raises
    ------
    DataError
        If the offsets do not cut up the values, or a query's values are negative, unsorted or
        repeated (`from_pairs` takes them in any order).
    """

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]

    def __post_init__(self) -> None:
        offsets, values = self.offsets, self.values
        if offsets.ndim != 1 or values.ndim != 1 or not len(offsets):
            raise DataError(
                "`offsets` and `values` should be 1-D, offsets one longer than there are queries. "
                f"Received: offsets of shape {offsets.shape}, values of shape {values.shape}"
            )
        if offsets.dtype != np.int64 or values.dtype != np.int32:
            raise DataError(
                "`offsets` should be int64 and `values` int32. "
                f"Received: {offsets.dtype} and {values.dtype}"
            )
        if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            raise DataError(
                "`offsets` should rise from 0 to the number of values. "
                f"Received: {offsets[0]} … {offsets[-1]} for {len(values)} values"
            )
        falls = np.diff(values) <= 0
        starts = offsets[1:-1]
        falls[starts[(starts > 0) & (starts < len(values))] - 1] = False
        if falls.any() or (len(values) and values.min() < 0):
            raise DataError(
                "`values` should be positions from 0, strictly ascending within each query: "
                "build them with `Lists.from_pairs`, which sorts and removes duplicates"
            )

    @classmethod
    def from_pairs(cls, rows: ArrayLike, positions: ArrayLike, queries: int) -> Lists:
        """Gather (query row, item position) pairs, in any order and possibly repeated.

        Parameters
        ----------
        rows, positions
            Integers, (pairs,) each.
        queries
            Number of queries; rows that no pair names get an empty set.

        Raises
        ------
        DataError
            If the two differ in length, are not integers, or a row or position is out of range.
        """
        row, position = np.asarray(rows), np.asarray(positions)
        if row.shape != position.shape or row.ndim != 1:
            raise DataError(
                "`rows` and `positions` should be 1-D and of one length. "
                f"Received: shapes {row.shape} and {position.shape}"
            )
        if not len(row):
            return cls(np.zeros(queries + 1, np.int64), np.empty(0, np.int32))
        if row.dtype.kind not in "iu" or position.dtype.kind not in "iu":
            raise DataError(
                "`rows` and `positions` should be integers. "
                f"Received: {row.dtype} and {position.dtype}"
            )
        for name, array, stop in (("rows", row, queries), ("positions", position, 2**31 - 1)):
            if array.min() < 0 or array.max() >= stop:
                raise DataError(
                    f"`{name}` should be from 0 to {stop - 1}. "
                    f"Received: {array.min()} … {array.max()}"
                )
        width = int(position.max()) + 1
        keys = np.sort(row.astype(np.int64) * width + position.astype(np.int64))
        keys = keys[np.diff(keys, prepend=-1) > 0]
        counts = np.bincount(keys // width, minlength=queries)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(offsets, (keys % width).astype(np.int32))

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Size of each query's set, (queries,)."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Query row of each value, (total,)."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)


@dataclass(frozen=True, eq=False)
class TopK:
    """The k best items of each query, best first.

    Parameters
    ----------
    positions
        int32, (queries, k): catalogue positions; -1 where the query has fewer than k items left.
    scores
        float32, (queries, k): their scores, falling; -inf beside -1.
    """

    positions: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or self.positions.shape != self.scores.shape:
            raise DataError(
                "`positions` and `scores` should both be of shape (queries, k). "
                f"Received: {self.positions.shape} and {self.scores.shape}"
            )


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


def check_positive(name: str, value: object) -> None:
    """Raise a TowermillError unless `value` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise TowermillError(f"`{name}` should be a positive integer. Received: {name}={value!r}")


def check_lists(name: str, lists: Lists, queries: int, catalogue: int) -> None:
    """Raise a DataError unless `lists` has a set a query, all within the catalogue."""
    if len(lists) != queries:
        raise DataError(f"`{name}` should have {queries} queries. Received: {len(lists)}")
    if len(lists.values) and lists.values.max() >= catalogue:
        raise DataError(
            f"`{name}` should hold positions below the catalogue's {catalogue}. "
            f"Received: {lists.values.max()}"
        )
