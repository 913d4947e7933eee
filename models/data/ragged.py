"""Impressions of unequal length, stored flat: their offsets checked, and walked in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError

Ints = NDArray[np.int64]

_BLOCK = 2**17  # scores looked at a time


def check_offsets(offsets: ArrayLike, entries: int) -> Ints:
    """Return `offsets` as int64: impression i holds the entries ``offsets[i]:offsets[i + 1]``.

    Raises
    ------
    DataError
        Unless they are integers, (impressions + 1,), that rise from 0 to `entries`.
    """
    given = np.asarray(offsets)
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "iu":
        raise DataError(
            "`offsets` should be integers, one more than there are impressions. "
            f"Received: {given.dtype} of shape {given.shape}"
        )
    result = given.astype(np.int64, copy=False)
    if result[0] != 0 or result[-1] != entries or (np.diff(result) < 0).any():
        raise DataError(
            "`offsets` should rise from 0 to the number of entries. "
            f"Received: {result[0]} … {result[-1]} for {entries} entries"
        )
    return result


def check_entries(name: str, values: ArrayLike, kinds: str, rule: str) -> NDArray[np.generic]:
    """Return `values` as an array.

    Raises
    ------
    DataError
        Unless it is 1-D and its dtype is of one of the `kinds`; `rule` says so in words.
    """
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in kinds and len(array)):
        raise DataError(
            f"`{name}` should be {rule}, one for each entry. "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return array


def check_items(name: str, items: ArrayLike, catalogue: int) -> Ints:
    """Return item positions, (entries,), as int64.

    Raises
    ------
    DataError
        Unless they are integers from 0 to `catalogue` - 1.
    """
    array = check_entries(name, items, "iu", "item positions (integers)")
    if len(array) and not 0 <= array.min() <= array.max() < catalogue:
        raise DataError(
            f"`{name}` should hold positions from 0 to {catalogue - 1}. "
            f"Received: {array.min()} … {array.max()}"
        )
    return array.astype(np.int64, copy=False)


def blocks(offsets: Ints, entries: int) -> Iterator[tuple[int, int]]:
    """Cut impressions into runs of at most `entries` entries, and of at least one impression.

    Yields
    ------
    tuple of int
        First impression of the run, and the one after its last.
    """
    start, impressions = 0, len(offsets) - 1
    while start < impressions:
        fits = int(np.searchsorted(offsets, offsets[start] + entries, side="right")) - 1
        stop = min(max(start + 1, fits), start + entries)  # empty impressions take room, too
        yield start, stop
        start = stop


def entries_of(offsets: Ints, rows: Ints) -> Ints:
    """Return the positions of the entries of impressions `rows`, one impression after another."""
    lengths = offsets[rows + 1] - offsets[rows]
    ends = np.cumsum(lengths)
    return np.repeat(offsets[rows] - ends + lengths, lengths) + np.arange(
        ends[-1] if len(rows) else 0
    )


def check_scored(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the scores of entries, and whether each was clicked; refuse invalid ones."""
    score: NDArray[Any] = check_entries("scores", scores, "fiu", "real numbers")
    label: NDArray[Any] = check_entries("labels", labels, "biu", "bool, or 0 and 1")
    if len(score) != len(label):
        raise DataError(
            "`labels` should have one for each score. "
            f"Received: {len(label)} labels, {len(score)} scores"
        )
    if label.dtype != bool and ((label != 0) & (label != 1)).any():
        raise DataError(
            f"`labels` should be 0 or 1. Received: values from {label.min()} to {label.max()}"
        )
    bad = sum(
        int(np.count_nonzero(~np.isfinite(score[at : at + _BLOCK])))
        for at in range(0, len(score), _BLOCK)
    )
    if bad:
        raise DataError(
            f"`scores` should be finite. Received: {bad} of {len(score)} NaN or infinite. "
            "Has the training diverged?"
        )
    return score, label.astype(bool, copy=False)
