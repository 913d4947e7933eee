"""Metrics of ranked lists in the catalogue protocol: accuracy, and beyond accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from towermill.errors import DataError
from towermill.models.data.lists import Lists, TopK, check_lists
from towermill.models.metrics import CATALOGUE_METRICS, metrics_of
from towermill.models.metrics.catalogue.base import (
    Floats,
    HitMetric,
    Hits,
    ItemMetric,
    OverallMetric,
    Shown,
    hits,
    list_means,
)
from towermill.models.metrics.cuts import check_cuts


def ranking_metrics(
    top: TopK,
    relevant: Lists,
    k: Sequence[int],
    item_counts: ArrayLike | None,
    catalogue: int,
    *,
    profiles: Lists | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Average the metrics of ranked lists over the queries that have at least one relevant item.

    A query without relevant items counts nowhere, coverage included; how many count is
    ``(relevant.lengths > 0).sum()``. A relevant item that was filtered as seen cannot be hit and
    counts as missed. Beside the means of `per_query` there are the metrics of all lists together.

    Parameters
    ----------
    top
        Ranked lists, at least max(k) wide; -1 pads a list and is never a hit.
    relevant
        Held-out items of each query.
    k
        Cut-offs; each gives its own ``"name@k"``.
    item_counts
        Training interactions of each item, (catalogue,); None leaves out what needs them.
    catalogue
        Number of items.
    profiles
        Training items of each query.
    metrics
        Names of metrics beside Towermill's own.

    Raises
    ------
    TowermillError
        As `per_query`; and if no query has a relevant item, or none of those that have was
        recommended anything.
    """
    values = per_query(top, relevant, k, item_counts, catalogue, metrics=metrics)
    counted = relevant.lengths > 0
    if not counted.any():
        raise DataError(
            f"None of {len(relevant)} queries has a relevant item, so there is nothing to average. "
            "Is the test split empty, or have its filters dropped every row?"
        )
    ranked = top.positions[counted]
    if not (ranked[:, : min(k)] >= 0).any():
        raise DataError(
            f"None of {len(ranked)} queries was recommended anything: all items are filtered as "
            "seen. Evaluate with `filter_seen: false`"
        )
    if profiles is not None:
        check_lists("profiles", profiles, len(relevant), catalogue)
    counts = None if item_counts is None else np.asarray(item_counts, np.float64)
    shown = Shown(top.positions, counted, counts, profiles, catalogue)
    result = {name: float(np.nanmean(value)) for name, value in values.items()}
    for metric in metrics_of(CATALOGUE_METRICS, OverallMetric, metrics):
        for cut in sorted(set(k)):
            value = metric.overall(shown, cut)
            if value is not None:
                result[f"{metric.kind}@{cut}"] = value
    return result


def per_query(
    top: TopK,
    relevant: Lists,
    k: Sequence[int],
    item_counts: ArrayLike | None,
    catalogue: int,
    *,
    metrics: Sequence[str] = (),
) -> dict[str, Floats]:
    """Return each metric of each query, for segments and confidence intervals.

    The formulas are those of the classes of `CATALOGUE_METRICS`.

    Parameters
    ----------
    top, relevant, k, item_counts, catalogue, metrics
        As for `ranking_metrics`.

    Returns
    -------
    dict of str to ndarray
        float64, (queries,) each. NaN for a query without relevant items; novelty and popularity
        are NaN, too, where nothing was recommended, while accuracy is 0 there.

    Raises
    ------
    TowermillError
        If a cut-off is not a positive integer or wider than the lists, shapes disagree, positions
        are beyond the catalogue, or a list hits an item twice.
    """
    cuts = check_cuts(k, top.positions.shape[1])
    check_lists("relevant", relevant, len(top.positions), catalogue)
    counts = None if item_counts is None else check_counts(item_counts, catalogue)
    if top.positions.size and not -1 <= top.positions.min() <= top.positions.max() < catalogue:
        raise DataError(
            f"`top` should hold positions from 0 to {catalogue - 1}, or -1. "
            f"Received: {top.positions.min()} … {top.positions.max()}"
        )
    # Few: at most the relevant items.
    row, place = np.nonzero(hits(top, relevant, catalogue)[:, : cuts[-1]])
    nth = np.arange(1, len(row) + 1) - np.searchsorted(row, row)  # 1 for a query's first hit …
    size = np.maximum(relevant.lengths, 1)
    result: dict[str, Floats] = {}
    for cut in cuts:
        keep = place < cut
        found = Hits(row[keep], place[keep], nth[keep], size, cut)
        for metric in metrics_of(CATALOGUE_METRICS, HitMetric, metrics):
            result[f"{metric.kind}@{cut}"] = metric.per_query(found)
    if counts is not None:
        for metric in metrics_of(CATALOGUE_METRICS, ItemMetric, metrics):
            means = list_means(top.positions, metric.of_items(counts), cuts)
            result |= {f"{metric.kind}@{cut}": mean for cut, mean in means.items()}
    for value in result.values():
        value[relevant.lengths == 0] = np.nan
    return result


def check_counts(item_counts: ArrayLike, catalogue: int) -> Floats:
    """Return training counts as float64 ``(catalogue,)``; raise `DataError` if they are not."""
    counts = np.asarray(item_counts, np.float64)
    if counts.shape != (catalogue,) or not (counts >= 0).all() or not counts.any():
        raise DataError(
            f"`item_counts` should be of shape ({catalogue},), from 0, and not all 0. "
            f"Received: shape {counts.shape}, sum {counts.sum()}"
        )
    return counts
