"""What every model of impressions has to beat: what is read most, what is newest, and chance.

Each gives scores of the entries as `impression_metrics` takes them: flat, higher is better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError
from towermill.models.data.ragged import blocks, check_items, check_offsets
from towermill.models.data.random import check_seed, counted_uniform

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
