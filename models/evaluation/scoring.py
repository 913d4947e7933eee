"""Scores of what was shown, by any model of impressions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.impressions import ImpressionData, Slates

#: Entries that are looked up at a time.
_BLOCK = 1 << 16


class SlateScorer(Protocol):
    """Scores slates by a model's present weights.

    Attributes
    ----------
    articles
        Vectors by encoded id whose directions say what an article is about, float32
        ``(items + 3, dim)``, of a model that has them.
    """

    articles: NDArray[np.float32] | None

    def __call__(self, slates: Slates) -> NDArray[np.float32]:
        """Score every shown article for its reader, float32 ``(entries,)``."""


def slate_scorer(model: Retriever | Ranker, data: ImpressionData) -> SlateScorer:
    """Return what scores slates by this model."""
    scorers: dict[str, Any] = {"retriever": _DotProducts, "ranker": _Pairs}
    scorer: SlateScorer = scorers[model.contract](model, data)
    return scorer


class _DotProducts:
    """Each article of the catalogue is encoded once in all, each reader and history once."""

    def __init__(self, retriever: Retriever, data: ImpressionData) -> None:
        self.retriever, self.data = retriever, data
        encoded = retriever.slate_vectors(data)
        self._vectors, self.ages = encoded.vectors, encoded.ages
        self.articles = encoded.vectors if encoded.by_content else None

    def __call__(self, slates: Slates) -> NDArray[np.float32]:
        both = np.stack([slates.users, slates.histories], axis=1)
        used, reader_of = np.unique(both, axis=0, return_inverse=True)
        readers = self.retriever.embed_queries(self.data.query_frame(used[:, 0], used[:, 1]))
        rows = reader_of[slates.rows]
        scores = np.empty(len(slates.items), np.float32)
        for start in range(0, len(scores), _BLOCK):
            block = slice(start, start + _BLOCK)
            own, shown = readers[rows[block]], self._vectors[slates.items[block]]
            np.einsum("ed,ed->e", own, shown, out=scores[block])
        if self.ages is not None:
            scores += (readers @ self.ages.T)[rows, self.data.ages(slates)]
        return scores


class _Pairs:
    """Each article shown is scored for its reader."""

    articles: NDArray[np.float32] | None = None

    def __init__(self, ranker: Ranker, data: ImpressionData) -> None:
        self.ranker, self.data = ranker, data
        self._queries = ranker.query_schema.column_names
        self._items = data.items_by_id.select(ranker.item_schema.column_names)

    def __call__(self, slates: Slates) -> NDArray[np.float32]:
        readers = self.data.query_frame(slates.users, slates.histories).select(self._queries)
        rows = slates.rows
        scores = np.empty(len(slates.items), np.float32)
        for start in range(0, len(scores), _BLOCK):
            block = slice(start, start + _BLOCK)
            own, shown = readers[rows[block]], self._items[slates.items[block]]
            scores[block] = self.ranker.score(own, shown)
        return scores
