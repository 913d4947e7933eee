"""Sources of a slate's items: scores of all items, or neighbours of the clicked ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from towermill.pipelines.recommend.neighbours import Neighbours
from towermill.pipelines.simulation.feedback import Feedback

#: Users whose scores of all items are held at a time.
_BLOCK = 256


class Source(Protocol):
    """Gives items that a user has not seen, best first."""

    def candidates(self, rows: list[int], k: int, memory: Feedback) -> list[list[int]]:
        """Return up to `k` items for each of these users."""


class Scored:
    """The items of the highest scores; equal ones in the order of rows.

    Parameters
    ----------
    score
        Rows of users to ``(users, items)`` float32, which may be written to.
    """

    def __init__(self, score: Callable[[list[int]], NDArray[np.float32]]) -> None:
        self.score = score

    def candidates(self, rows: list[int], k: int, memory: Feedback) -> list[list[int]]:
        """Return up to `k` items for each of these users."""
        found: list[list[int]] = []
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            scores = self.score(block)
            memory.hide(scores, block)
            found += _best(scores, k)
        return found


def _best(scores: NDArray[np.float32], k: int) -> list[list[int]]:
    import tensorflow as tf  # several times faster than NumPy's partition, and in order

    values, items = tf.math.top_k(scores, min(k, scores.shape[1]))
    kept = np.isfinite(values)
    return [line[mask].tolist() for line, mask in zip(items.numpy(), kept, strict=True)]


class NearClicked:
    """The nearest items, by their vectors, of one of the items that a user has clicked.

    Which one is drawn each time. A user without clicks gets none.

    Parameters
    ----------
    neighbours
        Nearest neighbours of the items.
    seed
        Seed of the draws.
    """

    def __init__(self, neighbours: Neighbours, seed: Sequence[int]) -> None:
        self.neighbours = neighbours
        self.rng = np.random.default_rng(seed)

    def candidates(self, rows: list[int], k: int, memory: Feedback) -> list[list[int]]:
        """Return up to `k` items for each of these users."""
        draws = self.rng.random(len(rows))
        clicked = [memory.clicked[row] for row in rows]
        some = [place for place, items in enumerate(clicked) if items]
        near = [clicked[p][int(draws[p] * len(clicked[p]))] for p in some]
        nearest, _ = self.neighbours.of(np.array(near, np.int64))
        found: list[list[int]] = [[] for _ in rows]
        for place, line in zip(some, nearest.tolist(), strict=True):
            met = memory.met(rows[place])
            found[place] = [item for item in line if item >= 0 and item not in met][:k]
        return found
