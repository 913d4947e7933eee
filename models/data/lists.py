"""Lists of items a query, and the top k of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError

#: ``scores(start, stop)``: scores of queries start … stop-1, shape (stop - start, catalogue).
ScoreBlock = Callable[[int, int], NDArray[Any]]


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
