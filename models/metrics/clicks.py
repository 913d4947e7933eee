"""Metrics of how well scores separate clicks from non-clicks, all impressions as one list.

Unlike the metrics within impressions, these compare scores across readers and moments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from towermill.errors import DataError
from towermill.models.data.ragged import check_scored


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the area under the ROC curve, ties counted half (Fawcett 2006).

    Parameters
    ----------
    scores
        Finite real numbers, (entries,), higher is better.
    labels
        bool or 0 and 1, (entries,).

    Raises
    ------
    DataError
        Shapes or dtypes disagree, a score is not finite, or all labels are alike.
    """
    curve = _Curve(scores, labels)
    clicks, others = curve.hits[-1], curve.false_alarms[-1]
    if not (clicks and others):
        raise DataError(
            "`labels` should hold both clicked and not clicked. Received: "
            f"{clicks} clicked of {clicks + others}"
        )
    hits = np.concatenate([[0], curve.hits]) / clicks
    false_alarms = np.concatenate([[0], curve.false_alarms]) / others
    return float(np.trapezoid(hits, false_alarms))


def best_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the score from which on to say "clicked" for the best F1; the highest of equals.

    Raises
    ------
    DataError
        As `auroc`, or nothing is clicked.
    """
    curve = _Curve(scores, labels)
    clicks = curve.hits[-1]
    if not clicks:
        raise DataError("`labels` should hold something clicked. Received: none that is")
    said = curve.hits + curve.false_alarms
    return float(curve.thresholds[np.argmax(2 * curve.hits / (said + clicks))])


def f1_score(scores: ArrayLike, labels: ArrayLike, threshold: float) -> float:
    """Return F1 of saying "clicked" from `threshold` on; 0 where nothing is clicked, or said.

    Raises
    ------
    DataError
        As `auroc`.
    """
    score, label = check_scored(scores, labels)
    said = score.astype(np.float64) >= threshold
    total = int(said.sum()) + int(label.sum())
    return 2 * int((said & label).sum()) / total if total else 0.0


class _Curve:
    """Right and wrong "clicked" at each distinct score taken as the threshold, highest first."""

    def __init__(self, scores: ArrayLike, labels: ArrayLike) -> None:
        score, label = check_scored(scores, labels)
        if not len(score):
            raise DataError("`scores` should hold something. Received: nothing")
        score = score.astype(np.float64)
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self.thresholds = ordered[last]
        self.hits = np.cumsum(label[order])[last]
        self.false_alarms = last + 1 - self.hits
