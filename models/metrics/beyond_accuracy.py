"""Metrics beyond accuracy of the first k of each slate: coverage, novelty and diversity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError
from towermill.models.data.lists import check_positive
from towermill.models.data.ragged import blocks, check_entries, check_items, check_offsets
from towermill.models.data.random import philox
from towermill.models.metrics.catalogue.base import list_means
from towermill.models.metrics.catalogue.novelty import Novelty
from towermill.models.metrics.catalogue.ranking import check_counts
from towermill.models.metrics.cuts import check_cuts

Floats = NDArray[np.float64]

_CELLS = 2**18  # scores at a time, in rows padded to one length
_BYTES = 2**24  # of item vectors at a time


def top_of_slates(
    scores: ArrayLike, items: ArrayLike, offsets: ArrayLike, k: int
) -> NDArray[np.int32]:
    """Return the best k items of each impression, best first.

    Equal scores are ordered by a hash of the item: the same everywhere, and neither by the place
    where it was shown nor by its position in the catalogue, which falls with popularity.

    Parameters
    ----------
    scores
        Finite real numbers, (entries,), higher is better.
    items
        Item positions from 0, (entries,).
    offsets
        Integers, (impressions + 1,), as for `per_impression`.
    k
        How many items; -1 pads an impression with fewer.

    Returns
    -------
    ndarray
        int32, (impressions, k).

    Raises
    ------
    TowermillError
        If shapes or dtypes disagree, a score is NaN or infinite, or `k` is not a positive integer.
    """
    check_positive("k", k)
    score: NDArray[Any] = check_entries("scores", scores, "fiu", "real numbers")
    item = check_items("items", items, 2**31 - 1).astype(np.int32)
    if len(score) != len(item):
        raise DataError(
            "`items` should have one for each score. "
            f"Received: {len(item)} items, {len(score)} scores"
        )
    offset = check_offsets(offsets, len(score))
    if not np.isfinite(score).all():
        bad = int((~np.isfinite(score)).sum())
        raise DataError(
            f"`scores` should be finite. Received: {bad} of {len(score)} NaN or infinite"
        )
    lengths = np.diff(offset)
    result = np.full((len(lengths), k), -1, np.int32)
    # Impressions of alike length together: little padding, and a plain sort along an axis.
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 1) :]
    ends = np.concatenate([[0], np.cumsum(lengths[order])])
    for start, stop in blocks(ends, _CELLS):
        rows = order[start:stop]
        places = np.arange(lengths[rows[-1]])
        shown = places < lengths[rows, None]
        entries = np.where(shown, offset[rows, None] + places, 0)
        # Lowest first, padding last; float64 holds every score that models and counts give.
        keys = np.where(shown, -score[entries].astype(np.float64), np.inf)
        best = _first(keys, item[entries], k)
        found = np.take_along_axis(item[entries], best, axis=1)
        kept = np.take_along_axis(shown, best, axis=1)
        result[rows, : best.shape[1]] = np.where(kept, found, -1)
    return result


def _first(keys: Floats, items: NDArray[np.int32], k: int) -> NDArray[np.intp]:
    """Return the columns of the k lowest keys of each row, ascending."""
    order = np.argsort(keys, axis=1)[:, : k + 1]  # one more: the k-th may tie with the next
    ranked = np.take_along_axis(keys, order, axis=1)
    tied = ((ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] < np.inf)).any(axis=1)
    if tied.any():
        order[tied] = np.lexsort((philox(0, items[tied], 0), keys[tied]), axis=1)[:, : k + 1]
    return order[:, :k]


def slate_metrics(
    top: NDArray[np.int32],
    shown: ArrayLike,
    k: Sequence[int] = (5, 10),
    *,
    item_counts: ArrayLike | None = None,
    vectors: ArrayLike | None = None,
) -> dict[str, float]:
    """Average `per_slate` over the impressions where it is defined, and add the coverage.

    ``coverage@k``
        Share of the distinct items shown in the split that are in the top k of at least one
        impression. The catalogue of `ranking_metrics` would hold items that could not be chosen.

    Parameters
    ----------
    top, k, item_counts, vectors
        As for `per_slate`.
    shown
        Item positions of all impressions of the split, flat, (entries,).

    Raises
    ------
    TowermillError
        As `per_slate`; and if nothing was shown, or `top` holds an item that was not.
    """
    cuts = check_cuts(k, top.shape[1])
    item = check_items("shown", shown, 2**31 - 1)
    if not len(item):
        raise DataError("`shown` should hold at least one item. Received: none")
    # A mark for each item rather than a sort: entries are many times more than items.
    marks = np.zeros(max(int(item.max()), int(top.max(initial=0))) + 1, bool)
    marks[item] = True
    distinct, known = int(marks.sum()), marks[top] | (top < 0)
    if not known.all():
        raise DataError(
            f"`top` should hold shown items only. Received: {int((~known).sum())} others"
        )
    result = {}
    for cut in cuts:
        chosen = np.zeros(len(marks) + 1, bool)  # the last one is chosen by -1
        chosen[top[:, :cut]] = True
        result[f"coverage@{cut}"] = float(chosen[:-1].sum() / distinct)
    for name, values in per_slate(top, k, item_counts=item_counts, vectors=vectors).items():
        counted = values[~np.isnan(values)]
        if len(counted):
            result[name] = float(counted.mean())
    return result


def per_slate(
    top: NDArray[np.int32],
    k: Sequence[int] = (5, 10),
    *,
    item_counts: ArrayLike | None = None,
    vectors: ArrayLike | None = None,
) -> dict[str, Floats]:
    """Return each metric of each impression's top k.

    ``novelty@k``
        Mean −log2 of the item's share of all training clicks, as `metrics.per_query` defines it:
        an item without any counts as having one. With `item_counts`.
    ``diversity@k``
        Mean over pairs of items of 1 − cosine of their vectors (intra-list similarity of Ziegler
        et al., WWW 2005, "Improving recommendation lists through topic diversification", turned
        round). With `vectors`. An item whose vector is zero has no direction and is left out.

    Parameters
    ----------
    top
        int32, (impressions, at least max(k)), as `top_of_slates` returns it; -1 pads.
    k
        Cut-offs.
    item_counts
        Training clicks of each item, (catalogue,).
    vectors
        What each item is like, (catalogue, dim): text embeddings, or the item tower's.

    Returns
    -------
    dict of str to ndarray
        float64, (impressions,) each. NaN where there is no item, or for diversity no pair.

    Raises
    ------
    TowermillError
        If a cut-off is not a positive integer or wider than the lists, the positions are beyond
        the catalogue, or a count or vector is not finite.
    """
    cuts = check_cuts(k, top.shape[1])
    result = {}
    if item_counts is not None:
        catalogue = len(np.atleast_1d(np.asarray(item_counts)))
        _check_top(top, catalogue, "item_counts")
        weight = Novelty().of_items(check_counts(item_counts, catalogue))
        for cut, values in list_means(top, weight, cuts).items():
            result[f"novelty@{cut}"] = values
    if vectors is not None:
        vector = np.asarray(vectors)
        if vector.ndim != 2 or vector.dtype.kind not in "fiu" or not np.isfinite(vector).all():
            raise DataError(
                "`vectors` should be finite numbers of shape (catalogue, dim). "
                f"Received: {vector.dtype} of shape {vector.shape}"
            )
        _check_top(top, len(vector), "vectors")
        for cut, values in _diversity(top, vector, cuts).items():
            result[f"diversity@{cut}"] = values
    return result


def _diversity(top: NDArray[np.int32], vectors: NDArray[Any], cuts: list[int]) -> dict[int, Floats]:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = np.zeros((len(vectors) + 1, vectors.shape[1]))  # the last one is where -1 points
    np.divide(vectors, norms, out=units[:-1], where=norms > 0)
    counts = np.append(norms[:, 0] > 0, False)
    result = {cut: np.full(len(top), np.nan) for cut in cuts}
    size = max(1, _BYTES // (8 * cuts[-1] * max(1, vectors.shape[1])))
    for start in range(0, len(top), size):
        block = top[start : start + size, : cuts[-1]]
        gathered, counted = units[block], counts[block]
        for cut in cuts:
            total = gathered[:, :cut].sum(axis=1)
            number = counted[:, :cut].sum(axis=1)
            # |Σ u|² is the sum of all pairs' cosines, each item with itself (1) among them.
            cosines = np.einsum("ij,ij->i", total, total) - number
            mean = result[cut][start : start + size]
            np.divide(cosines, number * (number - 1), out=mean, where=number > 1)
            np.subtract(1, mean, out=mean)
    return result


def _check_top(top: NDArray[np.int32], catalogue: int, name: str) -> None:
    if top.size and not -1 <= top.min() <= top.max() < catalogue:
        raise DataError(
            f"`top` should hold positions below the {catalogue} of `{name}`, or -1. "
            f"Received: {top.min()} … {top.max()}"
        )
