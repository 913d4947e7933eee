"""Metrics of predicted probabilities of a target, such as a click: ranking and calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError

#: Predictions are kept this far from 0 and 1, where the log loss is infinite.
_EPSILON = 1e-15


def log_loss(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the labels, in nats.

    Parameters
    ----------
    predicted
        Probabilities, ``(rows,)``.
    labels
        bool or 0 and 1, ``(rows,)``.

    Raises
    ------
    DataError
        Shapes disagree, there are no rows, or a prediction is no probability.

    Examples
    --------
    >>> round(log_loss([0.5, 0.5], [0, 1]), 4)
    0.6931
    """
    chance, label = _checked(predicted, labels)
    chance = np.clip(chance, _EPSILON, 1 - _EPSILON)
    return float(-np.where(label, np.log(chance), np.log1p(-chance)).mean())


def calibration(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean prediction over the observed rate: 1 at best, above 1 if predicted too high.

    He et al. 2014, "Practical lessons from predicting clicks on ads at Facebook" (there called
    calibration). Infinite where no label is 1.

    Examples
    --------
    >>> round(calibration([0.8, 0.4], [0, 1]), 3)
    1.2
    """
    chance, label = _checked(predicted, labels)
    return float(chance.mean() / label.mean()) if label.any() else float("inf")


def expected_calibration_error(predicted: ArrayLike, labels: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance of prediction and observed rate over bins of equal numbers of rows.

    Naeini et al., AAAI 2015, with bins between quantiles of the predictions: those of clicks are
    nearly all in the first of ten bins of equal width. Equal predictions share a bin.

    Examples
    --------
    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1], bins=2), 3)
    0.1
    """
    chance, label = _checked(predicted, labels)
    edges = np.unique(np.quantile(chance, np.arange(1, bins) / bins, method="lower"))
    of = np.searchsorted(edges, chance, side="left")
    gaps = np.bincount(of, chance) - np.bincount(of, label)
    return float(np.abs(gaps).sum() / len(chance))


def grouped_auc(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> float | None:
    """Return the mean AUC of groups, such as users, weighted by their rows; ties count half.

    GAUC of Zhou et al., KDD 2018 (Deep Interest Network). Groups whose labels are all alike have no
    AUC and are left out; None if all are.

    Parameters
    ----------
    scores
        Finite numbers, ``(rows,)``, higher is better.
    labels
        bool or 0 and 1, ``(rows,)``.
    groups
        The group of each row, ``(rows,)``.

    Examples
    --------
    >>> grouped_auc([0.1, 0.2, 0.9, 0.8, 0.7], [0, 1, 0, 1, 1], ["a", "a", "b", "b", "b"])
    0.4
    """
    score, label = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    of = np.unique(np.asarray(groups), return_inverse=True)[1]
    rows = np.bincount(of)
    ranks = _ranks(of, score)
    hits = np.bincount(of, label, len(rows))
    above = np.bincount(of, ranks * label, len(rows)) - hits * (hits + 1) / 2
    pairs = hits * (rows - hits)
    defined = pairs > 0
    if not defined.any():
        return None
    return float(np.average(above[defined] / pairs[defined], weights=rows[defined]))


def _ranks(groups: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each score in its group, from 1 for the lowest; ties share their mean."""
    order = np.lexsort((scores, groups))
    group, score = groups[order], scores[order]
    places = np.arange(len(order), dtype=np.float64)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    own = np.repeat(first, np.diff(first, append=len(order)))
    new = np.append(True, (np.diff(score) != 0) | (np.diff(group) != 0))
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=len(order))
    means = np.repeat(places[starts] + (lengths - 1) / 2, lengths)
    ranks = np.empty(len(order))
    ranks[order] = means - own + 1
    return ranks


def _checked(
    predicted: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    chance, label = np.asarray(predicted, np.float64), np.asarray(labels).astype(bool)
    if chance.shape != label.shape or chance.ndim != 1 or not len(chance):
        raise DataError(
            "`predicted` and `labels` should be of one length, at least 1. Received: shapes "
            f"{chance.shape} and {label.shape}"
        )
    if not ((chance >= 0) & (chance <= 1)).all():
        raise DataError(
            "`predicted` should hold probabilities, from 0 to 1. Received: "
            f"{np.nanmin(chance)} to {np.nanmax(chance)}"
        )
    return chance, label
