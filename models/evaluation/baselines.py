"""What every model has to beat: the same popular items for all, and chance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError
from towermill.models.evaluation.top_k import ScoreBlock, check_positive

_DRAWS = 4  # 64-bit draws by which one step of the Philox counter moves on


def popularity_scores(item_counts: ArrayLike) -> ScoreBlock:
    """Score every item by its training interactions, the same for all queries.

    Parameters
    ----------
    item_counts
        Training interactions of each item, (catalogue,).

    Raises
    ------
    DataError
        If the counts are not one row of real numbers.
    """
    counts = np.array(item_counts)
    if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in "fiu":
        raise DataError(
            "`item_counts` should be numbers of shape (catalogue,). "
            f"Received: {counts.dtype} {counts.shape}"
        )
    return partial(_same, counts)


def random_scores(seed: int, catalogue: int) -> ScoreBlock:
    """Score every item of every query by an independent draw from [0, 1), float64.

    Query q's scores depend on `seed`, `catalogue` and q alone, whatever the blocks: the counter
    of a Philox generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is
    set to where the row begins.

    Raises
    ------
    TowermillError
        If `seed` is negative or `catalogue` is not a positive integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise TowermillError(f"`seed` should be an integer from 0. Received: seed={seed!r}")
    check_positive("catalogue", catalogue)
    return partial(_uniform, int(seed), int(catalogue))


def _same(counts: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    return np.broadcast_to(counts, (stop - start, len(counts)))


def _uniform(seed: int, catalogue: int, start: int, stop: int) -> NDArray[np.float64]:
    steps = -(-catalogue // _DRAWS)  # of the counter for one row
    philox = np.random.Philox(seed)
    philox.advance(start * steps)
    drawn = np.random.Generator(philox).random((stop - start, steps * _DRAWS))
    return drawn[:, :catalogue]
