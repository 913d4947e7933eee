"""The impression protocol: what was shown, ranked within each impression."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, USER_ID, VECTOR
from towermill.errors import DataError
from towermill.models.data.impressions import ImpressionData, Slates
from towermill.models.evaluation.baselines import (
    chance_of_entries,
    popularity_of_entries,
    recency_of_entries,
)
from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.models.evaluation.by_query import ByQuery, digests
from towermill.models.evaluation.feature_slices import feature_slices
from towermill.models.evaluation.paired import paired_differences
from towermill.models.evaluation.protocol import Model, Protocol, Ranking, Validation
from towermill.models.evaluation.scoring import SlateScorer, slate_scorer
from towermill.models.evaluation.slices import clicked_ages, report_slices, slices
from towermill.models.metrics.beyond_accuracy import slate_metrics, top_of_slates
from towermill.models.metrics.clicks import auroc, best_threshold, f1_score
from towermill.models.metrics.impressions.ranking import impression_metrics, per_impression

logger = logging.getLogger(__name__)

#: Impressions of the validation split on which the threshold is chosen.
_THRESHOLD_IMPRESSIONS = 100_000


def evaluate_slates(
    model: Model,
    data: ImpressionData,
    slates: Slates,
    k: Sequence[int],
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Return the mean metrics within impressions; `metrics` names some beside Towermill's own."""
    scores = slate_scorer(model, data)(slates)
    return impression_metrics(scores, slates.clicked, slates.offsets, k, metrics)


def report_impressions(
    model: Model,
    data: ImpressionData,
    slates: Slates,
    k: Sequence[int],
    seed: int,
    metrics: Sequence[str] = (),
    by_query: Path | None = None,
) -> dict[str, Any]:
    """Return the content of ``metrics.json`` for a split.

    ``metrics`` are means over the impressions with something clicked and something not; the others
    are left out, and counted in ``left_out``. ``intervals`` hold the means in 95 of 100 draws of
    users (see `readers_of`), and are empty of a single one. ``compared`` has AUC's
    paired differences to the baselines. ``baselines`` and ``slices`` are of the
    same impressions. Slices by history depend on the model's input: the articles kept in
    processing, at most `features.history_size`, unknown ones among them. ``entries`` takes all
    that was shown as one list: the area under its ROC curve, the share that was clicked, and F1 at
    the threshold that is best for the validation split, if there is one.

    Parameters
    ----------
    model, data
        Trained; its data.
    slates
        The split's slates.
    k
        Cut-offs.
    seed
        Seed of the draws.
    metrics
        Names of metrics beside Towermill's own.
    by_query
        Where to write the metrics of each impression, as Parquet; see `ByQuery`.

    Raises
    ------
    DataError
        No impression has something clicked and something not.
    """
    ranked = slates.where(slates.rankable)
    clicks = np.bincount(slates.rows[slates.clicked], minlength=len(slates))
    scorer = slate_scorer(model, data)
    scorers: dict[str, NDArray[Any]] = {"model": scorer(ranked)}
    scorers["popularity"] = popularity_of_entries(ranked.items, data.id_counts)
    if data.published is not None:
        scorers["recency"] = recency_of_entries(ranked.items, data.published)
    scorers["random"] = chance_of_entries(ranked.offsets, seed)
    vectors = data.vectors if VECTOR in data.items.columns else scorer.articles
    found = {name: _metrics(s, data, ranked, k, vectors, metrics) for name, s in scorers.items()}
    values = per_impression(scorers["model"], ranked.clicked, ranked.offsets, k, metrics)
    readers = readers_of(ranked)
    # AUC decides: see `ImpressionProtocol.decides`.
    others = {
        name: per_impression(scores, ranked.clicked, ranked.offsets, k)["auc"]
        for name, scores in scorers.items()
        if name != "model"
    }
    if by_query is not None:
        ByQuery(digests(ranked.impression_ids), readers, values, others).write(by_query)
    numbered = pl.DataFrame({USER_ID: np.unique(readers, return_inverse=True)[1] + FIRST_ID})
    enough = len(np.unique(readers)) > 1
    entries = _entries(scorer, data, ranked, scorers)
    return {
        "queries": len(ranked),
        "queries_in_all": len(slates),
        "left_out": {
            "without_click": int((clicks == 0).sum()),
            "all_clicked": int((clicks > 0).sum()) - len(ranked),
        },
        "metrics": found.pop("model"),
        "intervals": bootstrap_by_user(values, readers, seed=seed) if enough else {},
        "baselines": found,
        "entries": entries,
        "compared": {
            "metric": "auc",
            "baselines": paired_differences(values["auc"], others, numbered, seed),
        },
        "slices": report_slices(values, _slices(data, ranked)),
    }


def readers_of(slates: Slates) -> NDArray[np.int64]:
    """Return who saw each impression, ``(impressions,)``, with unknown users told apart.

    Users that were not in training share one encoded id, and drawn as one would make the interval
    that of a single user. Their histories, one a user and part of the source, tell them apart; of
    those without any, each impression counts as a user's.
    """
    alone = len(slates) + int(slates.histories.max(initial=0)) + np.arange(len(slates))
    unknown = np.where(slates.histories > 0, slates.histories, alone)
    return np.where(slates.users >= FIRST_ID, slates.users, -unknown.astype(np.int64))


def _entries(
    scorer: SlateScorer, data: ImpressionData, slates: Slates, scores: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Return how well the scores separate clicks from the rest across impressions."""
    found: dict[str, Any] = {
        "auroc": {name: auroc(values, slates.clicked) for name, values in scores.items()},
        "clicked": float(slates.clicked.mean()),
    }
    if data.has("validation"):
        validation = data.slates("validation").sample(_THRESHOLD_IMPRESSIONS)
        if validation.clicked.any():
            threshold = best_threshold(scorer(validation), validation.clicked)
            found["threshold"] = threshold
            found["f1"] = f1_score(scores["model"], slates.clicked, threshold)
    return found


def _metrics(
    scores: NDArray[Any],
    data: ImpressionData,
    slates: Slates,
    k: Sequence[int],
    vectors: NDArray[np.float32] | None,
    metrics: Sequence[str],
) -> dict[str, float]:
    top = top_of_slates(scores, slates.items, slates.offsets, max(k))
    beyond = slate_metrics(
        top,
        slates.items,
        k,
        item_counts=data.id_counts if data.id_counts.any() else None,
        vectors=vectors,
    )
    within = impression_metrics(scores, slates.clicked, slates.offsets, k, metrics)
    return within | beyond


def _slices(data: ImpressionData, slates: Slates) -> dict[str, NDArray[np.bool_]]:
    ages = None
    if data.published is not None:
        ages = clicked_ages(
            slates.times, slates.items, slates.clicked, slates.offsets, data.published
        )
    read = (data.histories > 0).sum(axis=1)
    clicked, rows = slates.items[slates.clicked], slates.rows[slates.clicked]

    def has_click_on(articles: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which impressions have a click on one of these, bool by encoded id."""
        found: NDArray[np.bool_] = np.bincount(rows[articles[clicked]], minlength=len(slates)) > 0
        return found

    unknown = np.zeros(FIRST_ID, bool)
    by_feature = {
        name.replace("item", "click", 1): has_click_on(np.concatenate([unknown, mask]))
        for name, mask in feature_slices(data.items, "item").items()
    }
    return by_feature | slices(
        known=slates.users >= FIRST_ID,
        shown_before=has_click_on(data.shown_counts > 0),
        history_lengths=read[slates.histories],
        ages=ages,
    )


class ImpressionProtocol(Protocol):
    """Ranks what was shown within each impression."""

    kind: ClassVar[str] = "impressions"
    decides: ClassVar[str] = "auc"

    def open(self, processed: Path) -> ImpressionData:
        return ImpressionData(processed)

    def validation(self, data: ImpressionData, monitor: str, ranking: Ranking) -> Validation | None:
        if not data.has("validation"):
            return None
        slates = data.slates("validation").sample(ranking.max_queries)
        if not slates.rankable.any():
            logger.warning(
                "None of the %d validation impressions has a click and something else shown. "
                "Training runs for all epochs and keeps the last.",
                len(slates),
            )
            return None
        k = tuple(sorted({5, 10, int(monitor.partition("@")[2] or 10)}))
        return partial(evaluate_slates, data=data, slates=slates, k=k, metrics=ranking.metrics)

    def report(
        self,
        model: Model,
        data: ImpressionData,
        ranking: Ranking,
        k: Sequence[int] | None,
        seed: int,
        *,
        segments: bool = False,
        by_query: Path | None = None,
    ) -> dict[str, Any]:
        """Return the metrics of the impression protocol: see `report_impressions`."""
        slates = data.slates("test").sample(ranking.max_queries)
        if not slates.rankable.any():
            raise DataError(
                f"The test split should hold impressions with a click and something else shown; of "
                f"its {len(slates)} none is. Change `split`."
            )
        result: dict[str, Any] = {"protocol": "impression", "split": "test"}
        return result | report_impressions(
            model, data, slates, k or (5, 10), seed, ranking.metrics, by_query
        )
