"""Metrics of the rank of each impression's clicked items among those shown with them.

All follows from the rank of each click: how many entries of its impression score higher, and how
many the same. Clicks are few, so they are counted rather than the impressions sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError
from towermill.models.data.ragged import Ints, blocks, check_offsets, check_scored, entries_of
from towermill.models.metrics import IMPRESSION_METRICS, metrics_of
from towermill.models.metrics.cuts import check_cuts
from towermill.models.metrics.impressions.base import ImpressionMetric, Standing

Floats = NDArray[np.float64]

_BLOCK = 2**17  # entries at a time, so that a block's arrays stay in the processor's cache
_ROUNDS = 8  # clicks of an impression up to which comparing with each is faster than sorting


def impression_metrics(
    scores: ArrayLike,
    labels: ArrayLike,
    offsets: ArrayLike,
    k: Sequence[int] = (5, 10),
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Average each metric of `per_impression` over the impressions where it is defined.

    Raises
    ------
    TowermillError
        As `per_impression`; and if a metric is defined for no impression.
    """
    result = {}
    for name, values in per_impression(scores, labels, offsets, k, metrics).items():
        counted = values[~np.isnan(values)]
        if not len(counted):
            raise DataError(
                f"None of {len(values)} impressions has "
                + ("both a click and an entry without one" if name == "auc" else "a click")
                + f", so there is no `{name}` to average. Are the clicks of this split known?"
            )
        result[name] = float(counted.mean())
    return result


def per_impression(
    scores: ArrayLike,
    labels: ArrayLike,
    offsets: ArrayLike,
    k: Sequence[int] = (5, 10),
    metrics: Sequence[str] = (),
) -> dict[str, Floats]:
    """Return each metric of each impression, for segments and confidence intervals.

    Entries with one score are in no order: every metric is its expectation over all orders of
    them, so that the order in which items were shown or stored never counts. The formulas are those
    of the classes of `IMPRESSION_METRICS`.

    Parameters
    ----------
    scores
        Real numbers, (entries,), higher is better. Compared in the dtype they come in.
    labels
        bool or 0 and 1, (entries,): whether the entry was clicked.
    offsets
        Integers, (impressions + 1,): impression i is ``scores[offsets[i]:offsets[i + 1]]``.
    k
        Cut-offs.
    metrics
        Names of metrics beside Towermill's own.

    Returns
    -------
    dict of str to ndarray
        float64, (impressions,) each. NaN for an impression without a click, and for `auc` also
        for one where all is clicked.

    Raises
    ------
    TowermillError
        If a cut-off is not a positive integer, shapes or dtypes disagree, a label is neither 0
        nor 1, or a score is NaN or infinite.
    """
    cuts = check_cuts(k)
    score, click, offset = _check(scores, labels, offsets)
    named = [
        (f"{metric.kind}@{cut}" if cut else metric.kind, metric, cut)
        for metric in metrics_of(IMPRESSION_METRICS, ImpressionMetric, metrics)
        for cut in (cuts if metric.at_k else [0])
    ]
    result = {name: np.full(len(offset) - 1, np.nan) for name, _, _ in named}
    for start, stop in blocks(offset, _BLOCK):
        own = slice(offset[start], offset[stop])
        standing = _standing(score[own], click[own], offset[start : stop + 1] - offset[start])
        with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN wanted
            for name, metric, cut in named:
                result[name][start:stop] = metric.per_impression(standing, cut)
    return result


def _standing(scores: NDArray[Any], labels: NDArray[np.bool_], offsets: Ints) -> Standing:
    clicks = np.flatnonzero(labels)
    rows = np.searchsorted(offsets, clicks, side="right") - 1
    clicked = np.bincount(rows, minlength=len(offsets) - 1)
    above, equal = _places(scores, offsets, clicks, rows, clicked)
    return Standing(rows, above, equal, clicked, np.diff(offsets))


def _places(
    scores: NDArray[Any], offsets: Ints, clicks: Ints, row: Ints, clicked: Ints
) -> tuple[Ints, Ints]:
    """For each click, how many of its impression score above it, and how many the same (≥ 1)."""
    above, equal = np.zeros(len(clicks), np.int64), np.ones(len(clicks), np.int64)
    nth = np.arange(len(clicks)) - (np.cumsum(clicked) - clicked)[row]
    many = clicked[row] > _ROUNDS
    for turn in range(min(_ROUNDS, int(clicked.max(initial=0)))):
        now = np.flatnonzero((nth == turn) & ~many)
        if not len(now):
            continue
        rows = row[now]
        lengths = offsets[rows + 1] - offsets[rows]
        shown = scores if len(rows) == len(clicked) else scores[entries_of(offsets, rows)]
        own = np.repeat(scores[clicks[now]], lengths)
        starts = np.cumsum(lengths) - lengths
        above[now] = np.add.reduceat(shown > own, starts, dtype=np.int64)
        equal[now] = np.add.reduceat(shown == own, starts, dtype=np.int64)
    if many.any():
        rows = np.flatnonzero(clicked > _ROUNDS)
        ranks = _ranks(scores, offsets, rows)
        places = np.zeros(len(scores), np.int64)  # in `ranks`, of each entry
        places[entries_of(offsets, rows)] = np.arange(len(ranks[0]))
        above[many], equal[many] = (values[places[clicks[many]]] for values in ranks)
    return above, equal


def _ranks(scores: NDArray[Any], offsets: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """What `_places` returns for clicks, by a sort of all entries of the impressions `rows`."""
    entries = entries_of(offsets, rows)
    owner = np.repeat(np.arange(len(rows)), offsets[rows + 1] - offsets[rows])
    order = np.lexsort((scores[entries], owner))
    sorted_scores, sorted_owner = scores[entries][order], owner[order]
    new = np.ones(len(order) + 1, bool)
    new[1:-1] = (np.diff(sorted_owner) > 0) | (sorted_scores[1:] != sorted_scores[:-1])
    edges = np.flatnonzero(new)
    sizes = np.diff(edges)
    ends = np.searchsorted(sorted_owner, sorted_owner, side="right")  # of the impression
    above, equal = np.empty_like(order), np.empty_like(order)
    equal[order] = np.repeat(sizes, sizes)
    above[order] = ends - np.repeat(edges[1:], sizes)
    return above, equal


def _check(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.bool_], Ints]:
    score, label = check_scored(scores, labels)
    return score, label, check_offsets(offsets, len(score))
