"""Find the nearest items of each item by given vectors, and cache them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

#: Items whose cosines to all others are held at a time.
_BLOCK = 512


class Neighbours:
    """Nearest items by cosine (Lops et al., 2011, "Content-based recommender systems").

    Found when they are first asked for, and kept.

    Parameters
    ----------
    vectors
        float ``(items, dim)``; an item whose vector is zeros has no neighbour and is none.
    count
        Neighbours of an item, at most.
    """

    def __init__(self, vectors: NDArray[np.float32], count: int = 50) -> None:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
        self.count = max(min(count, len(vectors) - 1), 0)
        self._empty = length[:, 0] == 0
        self._known = np.zeros(len(vectors), bool)
        self._nearest = np.full((len(vectors), self.count), -1, np.int32)
        self._cosines = np.zeros((len(vectors), self.count), np.float32)

    def of(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the neighbours of `items` ``(rows,)``, nearest first, and their cosines.

        Returns
        -------
        int32 and float32 ``(rows, count)``. Where there are fewer neighbours, -1 follows. Equal
        cosines are in the order of items.
        """
        new = np.unique(items[~self._known[items]])
        for start in range(0, len(new), _BLOCK):
            self._find(new[start : start + _BLOCK])
        return self._nearest[items], self._cosines[items]

    def _find(self, items: NDArray[np.int64]) -> None:
        cosines = self.vectors[items] @ self.vectors.T
        cosines[:, self._empty] = -np.inf
        cosines[self._empty[items]] = -np.inf
        cosines[np.arange(len(items)), items] = -np.inf
        found, best = (part.numpy() for part in tf.math.top_k(cosines, self.count))
        self._nearest[items] = np.where(np.isfinite(found), best, -1)
        self._cosines[items] = np.where(np.isfinite(found), found, 0.0)
        self._known[items] = True
