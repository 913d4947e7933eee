"""Baselines of every model: the most popular items, and chance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError
from towermill.models.data.lists import ScoreBlock, check_positive
from towermill.models.data.ragged import blocks, check_items, check_offsets
from towermill.models.data.random import check_seed, counted_uniform

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
    check_seed(seed)
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


Floats = NDArray[np.float64]


_BLOCK = 2**16  # entries at a time


def popularity_of_entries(items: ArrayLike, item_counts: ArrayLike) -> Floats:
    """Score each entry by its item's clicks in training.

    Parameters
    ----------
    items
        Item positions from 0, (entries,).
    item_counts
        Training clicks of each item, (catalogue,).

    Returns
    -------
    ndarray
        float64, (entries,).

    Raises
    ------
    DataError
        If the counts are not one row of finite numbers or a position is beyond them.
    """
    counts = np.asarray(item_counts)
    if counts.ndim != 1 or counts.dtype.kind not in "fiu" or not np.isfinite(counts).all():
        raise DataError(
            "`item_counts` should be finite numbers of shape (catalogue,). "
            f"Received: {counts.dtype} of shape {counts.shape}"
        )
    return counts.astype(np.float64)[check_items("items", items, len(counts))]


def recency_of_entries(items: ArrayLike, published: ArrayLike) -> Floats:
    """Score the item published last highest; items published at one moment tie.

    An item of which it is not known comes after all others.

    Parameters
    ----------
    items
        Item positions from 0, (entries,).
    published
        When each item was published, (catalogue,): datetime64 with NaT where that is not known, or
        numbers of any unit with NaN there.

    Returns
    -------
    ndarray
        float64, (entries,): place among the catalogue's moments from 0, -1 if not known. Places,
        because nanoseconds since 1970 do not fit a float.

    Raises
    ------
    DataError
        If `published` is not one row of times or no time is known, or a position is beyond it.
    """
    times = np.asarray(published)
    if times.ndim != 1 or times.dtype.kind not in "Mfiu":
        raise DataError(
            "`published` should be datetime64 or numbers of shape (catalogue,). "
            f"Received: {times.dtype} of shape {times.shape}"
        )
    known = ~(np.isnat(times) if times.dtype.kind == "M" else np.isnan(times))
    if not known.any():
        raise DataError(
            f"`published` should hold a time for one item at least. Received: none for {len(times)}"
        )
    places = np.full(len(times), -1.0)
    places[known] = np.unique(times[known], return_inverse=True)[1]
    return places[check_items("items", items, len(times))]


def chance_of_entries(offsets: ArrayLike, seed: int, first_row: int = 0) -> Floats:
    """Score each entry by an independent draw from [0, 1).

    A draw depends on `seed`, the impression's row and the entry's place in it alone, so blocks of
    impressions can be scored apart.

    Parameters
    ----------
    offsets
        Integers, (impressions + 1,), as for `per_impression`.
    seed
        Integer from 0.
    first_row
        Row of the first impression in its split.

    Returns
    -------
    ndarray
        float64, (entries,).

    Raises
    ------
    TowermillError
        If the offsets do not rise from 0, or `seed` is not an integer from 0.
    """
    check_seed(seed)
    given = np.asarray(offsets)
    offset = check_offsets(given, int(given[-1]) if given.ndim == 1 and given.size else 0)
    result = np.empty(offset[-1])
    for start, stop in blocks(offset, _BLOCK):
        lengths = np.diff(offset[start : stop + 1])
        rows = np.repeat(np.arange(first_row + start, first_row + stop), lengths)
        places = np.arange(offset[start], offset[stop]) - np.repeat(offset[start:stop], lengths)
        result[offset[start] : offset[stop]] = counted_uniform(seed, rows, places)
    return result
