"""An opened index: finds the nearest items of queries, and scores given items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.exact import (
    Rows,
    Vectors,
    best_of_pairs,
    check_k,
    check_queries,
    exact_search,
    pair_scores,
)
from towermill.pipelines.search.lengths import unit
from towermill.pipelines.search.lifting import Graph

#: A graph is asked for so many more than `k` at a time where rows are left out: how many depends
#: on the query alone, and queries of one number go together.
_STEP = 64


@dataclass(frozen=True)
class Index:
    """The vectors of a catalogue, and what finds the nearest of them.

    A row's number is its place in the catalogue. Whatever finds it, a row's score is that of exact
    search: the float64 dot product of the float32 vectors, rounded to float32; by ``cosine``, of
    vectors of length 1. Answers do not depend on what else is asked. Threads may share an index.

    Attributes
    ----------
    vectors
        ``(items, dim)`` float32, read-only; by ``cosine`` of length 1.
    longest
        Length of the longest.
    metric
        ``inner_product`` or ``cosine``.
    graph
        Finds candidates; None: all are scored.
    """

    vectors: Vectors
    longest: float
    metric: str
    graph: Graph | None

    def search(
        self,
        queries: Vectors,
        k: int,
        exclude: Sequence[Rows] | None = None,
        allowed: Sequence[Rows | None] | None = None,
    ) -> tuple[Rows, Vectors]:
        """Return the `k` items nearest to each query.

        Parameters
        ----------
        queries
            ``(queries, dim)`` float32.
        k
            How many, at least 1.
        exclude
            Rows to leave out, per query.
        allowed
            The only rows allowed, per query; None allows all. Where given, the
            answer is exact.

        Returns
        -------
        rows, scores
            ``(queries, k)`` int64 and float32, best first, equal scores by row; -1 and minus
            infinity where there are fewer.

        Raises
        ------
        BundleError
            Queries are not finite or not of this index's dim, or a row is not of its catalogue.
        """
        queries = self._prepared(queries)
        check_k(k)
        for name, given in (("exclude", exclude), ("allowed", allowed)):
            if given is not None and len(given) != len(queries):
                raise BundleError(
                    f"`{name}` should have an entry a query. Received: {len(given)} for "
                    f"{len(queries)} queries"
                )
        nothing = np.zeros(0, np.int64)
        left_out = [nothing] * len(queries)
        if exclude is not None:
            left_out = [np.unique(self._checked(rows)) for rows in exclude]
        only: list[Rows | None] = [None] * len(queries)
        if allowed is not None:
            only = [None if rows is None else np.unique(self._checked(rows)) for rows in allowed]
        free = [i for i, given in enumerate(only) if given is None]
        pairs = [(i, given) for i, given in enumerate(only) if given is not None]
        if self.graph is not None:
            pairs += self._candidates(self.graph, queries, k, free, left_out)
        pairs = [(i, _without(r, left_out[i])) for i, r in pairs]
        rows, scores = self._best(queries, k, pairs)
        # Queries that did not use the graph, and those for which it found too few.
        there = [min(k, len(self.vectors) - len(left_out[i])) for i in range(len(queries))]
        short = [i for i in free if np.count_nonzero(rows[i] >= 0) < there[i]]
        if short:
            rows[short], scores[short] = exact_search(
                self.vectors, self.longest, queries[short], k, [left_out[i] for i in short]
            )
        return rows, scores

    def _candidates(
        self, graph: Graph, queries: Vectors, k: int, free: Sequence[int], left_out: Sequence[Rows]
    ) -> list[tuple[int, Rows]]:
        """Return a graph's candidates for each query."""
        groups: dict[int, list[int]] = {}
        for i in free:
            count = k + -(-len(left_out[i]) // _STEP) * _STEP
            if count < len(self.vectors):
                groups.setdefault(count, []).append(i)
        found: list[tuple[int, Rows]] = []
        for count, group in groups.items():
            rows, _ = graph.candidates(queries[group], count)
            found += [(i, row[row >= 0]) for i, row in zip(group, rows, strict=True)]
        return found

    def _best(
        self, queries: Vectors, k: int, pairs: Sequence[tuple[int, Rows]]
    ) -> tuple[Rows, Vectors]:
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in pairs)])
        query_of = np.repeat(
            np.array([i for i, _ in pairs], np.int64), [len(rows) for _, rows in pairs]
        )
        scores = pair_scores(self.vectors, queries, query_of, rows)
        return best_of_pairs(len(queries), k, query_of, rows, scores)

    def _prepared(self, queries: Vectors) -> Vectors:
        dim = self.vectors.shape[1]
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise BundleError(
                f"Expected queries of {dim} numbers, one row a query. Received: shape "
                f"{queries.shape}"
            )
        check_queries(queries, self.longest)
        return unit(queries) if self.metric == "cosine" else np.ascontiguousarray(queries)

    def _checked(self, rows: Rows) -> Rows:
        """Return row numbers as an array."""
        checked = np.asarray(rows, np.int64)
        if len(checked) and not 0 <= checked.min() <= checked.max() < len(self.vectors):
            raise BundleError(
                f"Expected rows from 0 to {len(self.vectors) - 1}. Received: {checked.min()} to "
                f"{checked.max()}"
            )
        return checked


def _without(rows: Rows, left_out: Rows) -> Rows:
    """Return rows but for some, which ascend; `numpy.isin` costs ten times as much of so few."""
    if not len(left_out):
        return rows
    nearest = left_out.take(np.searchsorted(left_out, rows), mode="clip")
    kept: Rows = rows[nearest != rows]
    return kept
