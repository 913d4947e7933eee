"""The impression protocol: what was shown, ranked within each impression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, VECTOR
from towermill.models.impression_baselines import (
    chance_of_entries,
    popularity_of_entries,
    recency_of_entries,
)
from towermill.models.impression_metrics import impression_metrics, per_impression
from towermill.models.impressions import ImpressionData, Slates
from towermill.models.intervals import bootstrap_by_user
from towermill.models.news import NewsRetriever
from towermill.models.slates import slate_metrics, top_of_slates
from towermill.models.slices import clicked_ages, report_slices, slices

#: Entries whose vectors are looked up at a time.
_BLOCK = 1 << 16


class SlateScorer:
    """Scores slates by their dot products: each article of the catalogue is encoded once in all.

    Parameters
    ----------
    retriever, data
        Its present weights; its data.
    """

    def __init__(self, retriever: NewsRetriever, data: ImpressionData) -> None:
        self.retriever, self.data = retriever, data
        self.articles = retriever.refresh()
        self.ages = retriever.age_vectors()

    def __call__(self, slates: Slates) -> NDArray[np.float32]:
        """Score every shown article for its reader, float32 ``(entries,)``.

        Each distinct history is encoded once, and no slate is padded.
        """
        used, reader_of = np.unique(slates.histories, return_inverse=True)
        readers = self.retriever.embed_queries(self.data.history_frame(used))
        rows = reader_of[slates.rows]
        scores = np.empty(len(slates.items), np.float32)
        for start in range(0, len(scores), _BLOCK):
            block = slice(start, start + _BLOCK)
            own, shown = readers[rows[block]], self.articles[slates.items[block]]
            np.einsum("ed,ed->e", own, shown, out=scores[block])
        if self.ages is not None:
            scores += (readers @ self.ages.T)[rows, self.data.ages(slates)]
        return scores


def evaluate_slates(
    retriever: NewsRetriever, data: ImpressionData, slates: Slates, k: Sequence[int]
) -> dict[str, float]:
    """Return the mean metrics within impressions."""
    scores = SlateScorer(retriever, data)(slates)
    return impression_metrics(scores, slates.clicked, slates.offsets, k)


def report_impressions(
    retriever: NewsRetriever, data: ImpressionData, slates: Slates, k: Sequence[int], seed: int
) -> dict[str, Any]:
    """Return all that ``metrics.json`` tells of a split.

    ``metrics`` are means over the impressions with something clicked and something not; the others
    are left out, and counted in ``left_out``. ``intervals`` hold the means in 95 of 100 draws of
    users (see `readers_of`), and are empty of a single one. ``baselines`` and ``slices`` are of the
    same impressions. Slices by history go by what the model is given: the articles kept in
    processing, at most `features.history_size`, unknown ones among them.

    Parameters
    ----------
    retriever, data
        Trained; its data.
    slates
        Of the split.
    k
        Cut-offs.
    seed
        Of the draws.

    Raises
    ------
    DataError
        No impression has something clicked and something not.
    """
    ranked = slates.where(slates.rankable)
    clicks = np.bincount(slates.rows[slates.clicked], minlength=len(slates))
    scorer = SlateScorer(retriever, data)
    scorers: dict[str, NDArray[Any]] = {"model": scorer(ranked)}
    scorers["popularity"] = popularity_of_entries(ranked.items, data.id_counts)
    if data.published is not None:
        scorers["recency"] = recency_of_entries(ranked.items, data.published)
    scorers["random"] = chance_of_entries(ranked.offsets, seed)
    vectors = data.vectors if VECTOR in data.items.columns else scorer.articles
    found = {name: _metrics(s, data, ranked, k, vectors) for name, s in scorers.items()}
    values = per_impression(scorers["model"], ranked.clicked, ranked.offsets, k)
    readers = readers_of(ranked)
    enough = len(np.unique(readers)) > 1
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
        "slices": report_slices(values, _slices(data, ranked)),
    }


def readers_of(slates: Slates) -> NDArray[np.int64]:
    """Return who saw each impression, ``(impressions,)``, with unknown users told apart.

    Users that were not in training share one encoded id, and drawn as one would make the interval
    that of a single user. Their histories, one a user and part of the source, tell them apart; of
    those without any, each impression counts as a user's.
    """
    alone = len(slates) + int(slates.histories.max(initial=0)) + np.arange(len(slates))
    strangers = np.where(slates.histories > 0, slates.histories, alone)
    return np.where(slates.users >= FIRST_ID, slates.users, -strangers.astype(np.int64))


def _metrics(
    scores: NDArray[Any],
    data: ImpressionData,
    slates: Slates,
    k: Sequence[int],
    vectors: NDArray[np.float32],
) -> dict[str, float]:
    top = top_of_slates(scores, slates.items, slates.offsets, max(k))
    beyond = slate_metrics(
        top,
        slates.items,
        k,
        item_counts=data.id_counts if data.id_counts.any() else None,
        vectors=vectors,
    )
    return impression_metrics(scores, slates.clicked, slates.offsets, k) | beyond


def _slices(data: ImpressionData, slates: Slates) -> dict[str, NDArray[np.bool_]]:
    ages = None
    if data.published is not None:
        ages = clicked_ages(
            slates.times, slates.items, slates.clicked, slates.offsets, data.published
        )
    read = (data.histories > 0).sum(axis=1)
    return slices(known=slates.users >= FIRST_ID, history_lengths=read[slates.histories], ages=ages)
