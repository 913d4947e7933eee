"""The inputs of metrics of ranked lists: hits, or the items themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError
from towermill.models.data.lists import Lists, TopK

Floats = NDArray[np.float64]

_BLOCK = 2**24  # bytes of scratch memory


@dataclass(frozen=True)
class Hits:
    """The relevant items among the first `cut` of each list.

    Attributes
    ----------
    rows
        int64 ``(hits,)``: the query of each hit, ascending.
    places
        int64 ``(hits,)``: its place in the list, from 0.
    nth
        int64 ``(hits,)``: 1 for a query's first hit, 2 for its second, and so on.
    sizes
        int64 ``(queries,)``: relevant items of each query, at least 1.
    cut
        Length of the lists.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    nth: NDArray[np.int64]
    sizes: NDArray[np.int64]
    cut: int

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.sizes)

    def sum(self, values: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the sum over each query's hits of `values`, or their number, ``(queries,)``."""
        return np.bincount(self.rows, values, self.queries)


@dataclass(frozen=True)
class Shown:
    """All lists, and data on the items.

    Attributes
    ----------
    positions
        int32 ``(queries, k)``; -1 pads.
    counted
        bool ``(queries,)``: queries with a relevant item; the others count nowhere.
    counts
        float64 ``(catalogue,)``: training interactions of each item; None if not known.
    profiles
        Training items of each query; None if not known.
    catalogue
        Number of items.
    """

    positions: NDArray[np.int32]
    counted: NDArray[np.bool_]
    counts: Floats | None
    profiles: Lists | None
    catalogue: int


class Metric(ABC):
    """A metric of ranked lists, at cut-offs.

    Attributes
    ----------
    kind
        Its name; a result is called ``kind@k``.
    order
        Its place in reports, the lowest first.
    at_k
        Always True: each metric of ranked lists has a cut-off.
    monitors
        Whether training can be stopped by it: whether more is better.
    """

    kind: ClassVar[str]
    order: ClassVar[int] = 1000
    at_k: ClassVar[bool] = True
    monitors: ClassVar[bool] = False


class HitMetric(Metric):
    """A metric of each query that its hits decide; averaged over queries.

    Examples
    --------
    A metric of your own is a class like this one, the place of the last hit. A recipe names it as
    ``shop.metrics:LastHit``:

    >>> class LastHit(HitMetric):
    ...     kind: ClassVar[str] = "last_hit"
    ...     def per_query(self, hits):
    ...         last = np.zeros(hits.queries)
    ...         np.maximum.at(last, hits.rows, hits.places + 1)
    ...         return last
    """

    monitors: ClassVar[bool] = True

    @abstractmethod
    def per_query(self, hits: Hits) -> Floats:
        """Return float64 ``(queries,)``."""


class ItemMetric(Metric):
    """A metric that is the mean of a number of the items recommended, by their training counts."""

    @abstractmethod
    def of_items(self, counts: Floats) -> Floats:
        """Return the number of each item, float64 ``(catalogue,)``, for its training counts."""


class OverallMetric(Metric):
    """A metric of all lists together."""

    @abstractmethod
    def overall(self, shown: Shown, cut: int) -> float | None:
        """Return it at a cut-off; None where it is not defined."""


def hits(top: TopK, relevant: Lists, catalogue: int) -> NDArray[np.bool_]:
    """Return which recommended items are relevant: (queries, k), False where padded.

    Raises
    ------
    DataError
        If a list holds one relevant item twice.
    """
    queries = len(top.positions)
    result = np.zeros(top.positions.shape, bool)
    size = max(1, min(queries, _BLOCK // (catalogue + 1)))
    marks = np.zeros((size, catalogue + 1), bool)  # the last one is where -1 points
    for start in range(0, queries, size):
        stop = min(start + size, queries)
        own = slice(relevant.offsets[start], relevant.offsets[stop])
        rows = np.repeat(np.arange(stop - start), relevant.lengths[start:stop])
        marks[rows, relevant.values[own]] = True
        result[start:stop] = marks[np.arange(stop - start)[:, None], top.positions[start:stop]]
        marks[rows, relevant.values[own]] = False
    row, place = np.nonzero(result)
    hit = np.sort(row * (catalogue + 1) + top.positions[row, place])
    if (np.diff(hit) == 0).any():
        raise DataError("`top` recommends an item twice in one list: remove duplicates first")
    return result


def list_means(positions: NDArray[np.int32], weight: Floats, cuts: list[int]) -> dict[int, Floats]:
    """Mean weight of the first `cut` items of each list, padding (-1) left out; NaN if empty."""
    queries, width = positions.shape
    padded = np.append(weight, 0.0)
    result = {cut: np.full(queries, np.nan) for cut in cuts}
    size = max(1, _BLOCK // (8 * width))
    for start in range(0, queries, size):
        block = positions[start : start + size]
        totals, numbers = np.cumsum(padded[block], axis=1), np.cumsum(block >= 0, axis=1)
        for cut in cuts:
            total, number = totals[:, cut - 1], numbers[:, cut - 1]
            mean = result[cut][start : start + size]
            np.divide(total, number, out=mean, where=number > 0)
    return result
