"""Find similar items by the cosine similarity of their embeddings."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from towermill.pipelines.search.lengths import lengths

#: Items compared at a time: their products stay in a processor's cache.
_BLOCK = 1 << 16


class Cosines:
    """Cosines of the rows of a matrix with one another; those of a row of zeros are 0.

    Parameters
    ----------
    vectors
        float32 ``(items, dim)``, mapped into memory or not.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors

    def nearest(
        self, rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the top-k other rows by cosine similarity for each row.

        Equal cosines are ordered by row. Where there are fewer, the places have row -1.

        Returns
        -------
        int64 and float32, ``(rows, k)`` each.
        """
        count = len(self.vectors)
        cosines = np.empty((len(rows), count), np.float32)
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            cosines[:, start:stop] = self.between(rows, np.arange(start, stop))
        cosines[np.arange(len(rows)), rows] = -np.inf
        found = np.full((len(rows), k), -1)
        values = np.full((len(rows), k), -np.inf, np.float32)
        kept = min(k, count - 1)
        for place, row in enumerate(cosines if kept else ()):
            least = np.partition(row, count - kept)[count - kept]
            candidates = np.flatnonzero(row >= least)
            best = candidates[np.argsort(-row[candidates], kind="stable")[:kept]]
            found[place, :kept], values[place, :kept] = best, row[best]
        return found, values

    def nearest_of(
        self, rows: NDArray[np.int64], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the top-k candidates by cosine similarity for each row, best first.

        Returns
        -------
        int64 and float32, ``(rows, min(k, among))`` each.
        """
        cosines = self.between(rows, among)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return among[order], np.take_along_axis(cosines, order, axis=1)

    def between(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosines of some rows with others, ``(rows, others)``."""
        one = self.vectors[rows].astype(np.float64) / self._lengths[rows, None]
        other = self.vectors[others].astype(np.float64) / self._lengths[others, None]
        cosines: NDArray[np.float32] = np.clip(one @ other.T, -1, 1).astype(np.float32)
        return cosines

    def load(self) -> None:
        """Measure the vectors now, not when they are first compared."""
        _ = self._lengths

    @cached_property
    def _lengths(self) -> NDArray[np.float64]:
        found = lengths(self.vectors)
        return np.where(found > 0, found, 1.0)
