"""Exact search: the rows whose vectors have the largest inner products with a query.

An answer depends only on the query, the vectors and the excluded rows. A score is the dot
product in float64 of the float32 vectors, rounded to float32; equal scores are ordered by row. To
be fast, all products are taken in float32 first, block by block; whatever could be among the best
by more than the rounding of float32 explains is scored in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towermill.errors import BundleError
from towermill.pipelines.search.lengths import lengths

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

#: Queries that go through the vectors together.
_TOGETHER: Final = 64
#: Products of a block, and rows of one: each matrix product waits for the slowest of its threads,
#: so smaller blocks, though they would stay in a nearer cache, lose much on a busy machine.
_BLOCK_PRODUCTS: Final = 2**22
_BLOCK_ROWS: Final = 2**20
#: Pairs whose float64 products are taken at a time.
_PAIRS: Final = 2**16


def pair_scores(vectors: Vectors, queries: Vectors, query_of: Rows, rows: Rows) -> Vectors:
    """Return the score of each pair of a query and a row, float32 ``(pairs,)``.

    Row by row, and so the same whatever goes with it: a matrix product is not.
    """
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        left = vectors[rows[part]].astype(np.float64)
        left *= queries[query_of[part]]
        scores[part] = left.sum(axis=1)
    return scores


def best_of_pairs(
    queries: int, k: int, query_of: Rows, rows: Rows, scores: Vectors
) -> tuple[Rows, Vectors]:
    """Return the `k` best of each query's pairs; see `exact_search`."""
    order = np.lexsort((rows, -scores, query_of))
    query_of, rows, scores = query_of[order], rows[order], scores[order]
    place = np.arange(len(rows)) - np.searchsorted(query_of, query_of)
    kept = place < k
    best_rows = np.full((queries, k), -1, np.int64)
    best_scores = np.full((queries, k), -np.inf, np.float32)
    at = query_of[kept], place[kept]
    best_rows[at], best_scores[at] = rows[kept], scores[kept]
    return best_rows, best_scores


def exact_search(
    vectors: Vectors,
    longest: float,
    queries: Vectors,
    k: int,
    exclude: Sequence[Rows] | None = None,
) -> tuple[Rows, Vectors]:
    """Return the `k` rows with the largest inner products with each query.

    Parameters
    ----------
    vectors
        Finite, C-order, ``(items, dim)``, in memory or mapped to it.
    longest
        The largest of their lengths.
    queries
        ``(queries, dim)``, as `check_queries` lets pass.
    exclude
        Rows to leave out, per query.

    Returns
    -------
    rows, scores
        ``(queries, k)``, best first; where there are fewer, -1 and minus infinity.
    """
    margins = _margins(queries, longest)
    best_rows = np.full((len(queries), k), -1, np.int64)
    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(queries), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        left_out = None if exclude is None else exclude[part]
        search = _Search(vectors, queries[part], margins[part], k, left_out)
        best_rows[part], best_scores[part] = search.run()
    return best_rows, best_scores


def check_queries(queries: Vectors, longest: float) -> None:
    """Raise `BundleError` unless queries are finite and their products fit into float32."""
    if not (lengths(queries) * max(longest, 1) < np.finfo(np.float32).max / 2).all():
        raise BundleError(
            "Expected queries that are finite and not too long for float32; found NaN, infinity "
            "or huge numbers. Look at the features of the query."
        )


def _margins(queries: Vectors, longest: float) -> NDArray[np.float64]:
    """Return an upper bound on the float32 error of each query's scores.

    In whatever order n products are summed, the error is at most γ |q| |x| with γ = nu / (1 - nu)
    and u = 2⁻²⁴ (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section
    3.1, and the inequality of Cauchy and Schwarz). n is two more than there are numbers: for
    rounding the score to float32, and for its own error in float64. What falls below float32's
    normal numbers adds the smallest of these, each time.
    """
    limits = lengths(queries) * longest
    n = queries.shape[1] + 2
    unit = n * 2.0**-24
    return np.where(limits > 0, unit / (1 - unit) * limits + n * 2.0**-126, 0.0)


class _Search:
    """One pass over the vectors for a few queries."""

    def __init__(
        self,
        vectors: Vectors,
        queries: Vectors,
        margins: NDArray[np.float64],
        k: int,
        exclude: Sequence[Rows] | None,
    ) -> None:
        self.vectors, self.queries, self.margins, self.k = vectors, queries, margins, k
        self.best_rows = np.full((len(queries), k), -1, np.int64)
        self.best_scores = np.full((len(queries), k), -np.inf, np.float32)
        #: A product up to here is none of a query's best, whatever its exact score.
        self.bounds = np.full((len(queries), 1), -np.inf, np.float32)
        self.pending = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        lists = [] if exclude is None else list(exclude)
        flat = np.concatenate([np.zeros(0, np.int64), *lists])
        order = np.argsort(flat, kind="stable")
        self.out_rows = flat[order]
        self.out_queries = np.repeat(np.arange(len(lists)), [len(rows) for rows in lists])[order]

    def run(self) -> tuple[Rows, Vectors]:
        """Return what `exact_search` does."""
        size = max(1, min(_BLOCK_ROWS, _BLOCK_PRODUCTS // max(1, len(self.queries))))
        buffer = np.empty((len(self.queries), size), np.float32)
        for start in range(0, len(self.vectors), size):
            block = self.vectors[start : start + size]
            products = np.matmul(self.queries, block.T, out=buffer[:, : len(block)])
            first, last = np.searchsorted(self.out_rows, (start, start + len(block)))
            products[self.out_queries[first:last], self.out_rows[first:last] - start] = -np.inf
            if start == 0:
                self._bound_by(products[:, : max(self.k, len(block) // 4)])
            hits = np.flatnonzero(products > self.bounds)
            query_of, rows = np.divmod(hits, len(block))
            self.pending.append((query_of, rows + start))
            if sum(len(rows) for _, rows in self.pending) > 2 * self.k * len(self.queries):
                self._settle()
        self._settle()
        return self.best_rows, self.best_scores

    def _bound_by(self, products: Vectors) -> None:
        """Set bounds by the first products.

        `k` of its rows have scores of at least the k-th product less the margin; a product that is
        lower by two margins is of none that could be among the best.
        """
        if products.shape[1] >= self.k:
            at = products.shape[1] - self.k
            kth = np.partition(products, at, axis=1)[:, at]
            self.bounds = _rounded_down(np.nextafter(kth, -np.inf) - 2 * self.margins)[:, None]

    def _settle(self) -> None:
        """Score pending candidates exactly, keep the best, and raise the bounds to the k-th's.

        Of equal scores the lower row stays, so only a larger one could replace it.
        """
        query_of, rows = (np.concatenate(parts) for parts in zip(*self.pending, strict=True))
        scores = pair_scores(self.vectors, self.queries, query_of, rows)
        known = np.nonzero(self.best_rows >= 0)
        self.best_rows, self.best_scores = best_of_pairs(
            len(self.queries),
            self.k,
            np.concatenate([known[0], query_of]),
            np.concatenate([self.best_rows[known], rows]),
            np.concatenate([self.best_scores[known], scores]),
        )
        bounds = _rounded_down(self.best_scores[:, -1] - self.margins)
        self.bounds = np.maximum(self.bounds, bounds[:, None])
        self.pending = [(query_of[:0], rows[:0])]


def _rounded_down(numbers: NDArray[np.float64]) -> Vectors:
    near = numbers.astype(np.float32)
    return np.where(near > numbers, np.nextafter(near, np.float32(-np.inf)), near)


def check_k(k: int) -> None:
    """Raise `BundleError` if `k` is not a positive integer."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise BundleError(f"`k` should be a positive integer. Received: k={k!r}")
