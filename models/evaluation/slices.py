"""Slices of impressions that a mean hides: unknown users, short histories, old articles."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError
from towermill.models.data.ragged import check_entries, check_items, check_offsets

Floats = NDArray[np.float64]
Masks = dict[str, NDArray[np.bool_]]

#: Where slices of the history's length begin: none, 1-4, 5-19, 20+.
HISTORY_BINS = (1, 5, 20)
#: Where slices of an article's age begin, in hours: <2h, 2-6h, 6-24h, 24-72h, 72h+.
AGE_BINS = (2.0, 6.0, 24.0, 72.0)


def slices(
    *,
    known: ArrayLike | None = None,
    shown_before: ArrayLike | None = None,
    history_lengths: ArrayLike | None = None,
    ages: ArrayLike | None = None,
    history_bins: Sequence[int] = HISTORY_BINS,
    age_bins: Sequence[float] = AGE_BINS,
) -> Masks:
    """Return masks of the impressions in each slice, for `report_slices`.

    Names are ``user:known`` and ``user:cold``; ``click:known`` and ``click:new``;
    ``history:none``, ``history:1-4`` and so on, and ``age:<2h``, ``age:2-6h`` and so on, of which
    the upper end belongs to the next.

    Parameters
    ----------
    known
        bool, (impressions,): whether the user was in training.
    shown_before
        bool, (impressions,): whether something clicked was shown in training.
    history_lengths
        Integers from 0, (impressions,): articles in the history. If it was cut to the model's
        history size, bins above that size stay empty.
    ages
        Hours, (impressions,), as `clicked_ages` returns them; NaN is in no slice.
    history_bins, age_bins
        Where slices begin but the first one, ascending.

    Returns
    -------
    dict of str to ndarray
        bool, (impressions,) each; slices of arguments that are None are left out.

    Raises
    ------
    TowermillError
        If bins do not ascend from above 0, shapes or dtypes disagree, or a length is negative.
    """
    result: Masks = {}
    if known is not None:
        told = _column("known", known, "b", "bool")
        result |= {"user:known": told, "user:cold": ~told}
    if shown_before is not None:
        met = _column("shown_before", shown_before, "b", "bool")
        result |= {"click:known": met, "click:new": ~met}
    if history_lengths is not None:
        length = _column("history_lengths", history_lengths, "iu", "integers")
        if len(length) and length.min() < 0:
            raise DataError(f"`history_lengths` should be from 0. Received: {length.min()}")
        bins = _check_bins("history_bins", history_bins)
        spans = [_span(low, high) for low, high in itertools.pairwise([0, *bins])]
        spans[0] = "none" if spans[0] == "0" else spans[0]
        result |= _cut("history", length, bins, [*spans, f"{bins[-1]:g}+"])
    if ages is not None:
        age = _column("ages", ages, "fiu", "hours").astype(np.float64)
        bins = _check_bins("age_bins", age_bins)
        ends = [f"{low:g}-{high:g}h" for low, high in itertools.pairwise(bins)]
        result |= _cut("age", age, bins, [f"<{bins[0]:g}h", *ends, f"{bins[-1]:g}h+"])
    if len({len(mask) for mask in result.values()}) > 1:
        found = {name: len(mask) for name, mask in result.items()}
        raise DataError(f"Slices should all have one number of impressions. Received: {found}")
    return result


def clicked_ages(
    times: ArrayLike, items: ArrayLike, labels: ArrayLike, offsets: ArrayLike, published: ArrayLike
) -> Floats:
    """Return the age in hours of the article clicked in each impression; of several, the youngest.

    Negative where the clock of one of the two sources is wrong, or an article was published again.

    Parameters
    ----------
    times
        datetime64, (impressions,): when it was shown.
    items
        Item positions from 0, (entries,).
    labels
        bool or 0 and 1, (entries,): whether the entry was clicked.
    offsets
        Integers, (impressions + 1,), as for `per_impression`.
    published
        datetime64, (catalogue,), NaT where it is not known.

    Returns
    -------
    ndarray
        float64, (impressions,): NaN without a click or where no time is known.

    Raises
    ------
    DataError
        If shapes or dtypes disagree or positions are beyond the catalogue.
    """
    shown, since = np.asarray(times), np.asarray(published)
    for name, array in (("times", shown), ("published", since)):
        if array.ndim != 1 or array.dtype.kind != "M":
            raise DataError(
                f"`{name}` should be 1-D datetime64. Received: {array.dtype} {array.shape}"
            )
    item = check_items("items", items, len(since))
    offset = check_offsets(offsets, len(item))
    label = check_entries("labels", labels, "biu", "bool, or 0 and 1").astype(bool)
    if len(label) != len(item) or len(shown) != len(offset) - 1:
        raise DataError(
            "`labels` should have one an entry, `times` one an impression. Received: "
            f"{len(label)} labels, {len(item)} items; {len(shown)} times, {len(offset) - 1} rows"
        )
    clicks = np.flatnonzero(label)
    row = np.searchsorted(offset, clicks, side="right") - 1
    hours = (shown[row] - since[item[clicks]]) / np.timedelta64(1, "h")
    result = np.full(len(shown), np.nan)
    np.fmin.at(result, row, hours)  # passes over NaN
    return result


def report_slices(
    values: Mapping[str, ArrayLike], masks: Mapping[str, ArrayLike]
) -> dict[str, dict[str, int | dict[str, float]]]:
    """Average metrics within slices.

    Parameters
    ----------
    values
        Each metric of each impression, (impressions,), NaN where it is not defined.
    masks
        bool, (impressions,), as `slices` returns them.

    Returns
    -------
    dict
        ``{slice: {"impressions": n, "metrics": {name: mean}}}``. n are those where at least one
        metric is defined; slices without any are left out, and so are metrics within a slice.

    Raises
    ------
    DataError
        If shapes disagree or a mask is not bool.
    """
    columns = {name: np.asarray(value, np.float64) for name, value in values.items()}
    result: dict[str, dict[str, int | dict[str, float]]] = {}
    for name, given in masks.items():
        mask = _column(f"masks[{name!r}]", given, "b", "bool")
        metrics, counted = {}, np.zeros(len(mask), bool)
        for metric, column in columns.items():
            if column.shape != mask.shape:
                raise DataError(
                    f"`values` of {metric!r} and the slice {name!r} should be of one shape. "
                    f"Received: {column.shape} and {mask.shape}"
                )
            defined = mask & ~np.isnan(column)
            counted |= defined
            if defined.any():
                metrics[metric] = float(column[defined].mean())
        if metrics:
            result[name] = {"impressions": int(counted.sum()), "metrics": metrics}
    return result


def _cut(name: str, values: NDArray[Any], bins: list[float], labels: list[str]) -> Masks:
    place = np.digitize(values, bins)
    place[np.isnan(values)] = -1
    return {f"{name}:{label}": place == nth for nth, label in enumerate(labels)}


def _span(low: float, high: float) -> str:
    """The whole numbers from `low` to below `high`."""
    return f"{low:g}" if high - low == 1 else f"{low:g}-{high - 1:g}"


def _check_bins(name: str, bins: Sequence[float]) -> list[float]:
    if not len(bins) or bins[0] <= 0 or any(a >= b for a, b in itertools.pairwise(bins)):
        raise TowermillError(f"`{name}` should ascend from above 0. Received: {tuple(bins)}")
    return [float(edge) for edge in bins]


def _column(name: str, given: ArrayLike, kinds: str, rule: str) -> NDArray[Any]:
    array = np.asarray(given)
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise DataError(
            f"`{name}` should be {rule} of shape (impressions,). "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return array
