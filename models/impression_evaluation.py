"""The impression protocol: what was shown, ranked within each impression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from towermill.models.impressions import ImpressionData, Slates
from towermill.models.news import NewsRetriever

#: Entries whose vectors are looked up at a time.
_BLOCK = 1 << 16


def score_slates(
    retriever: NewsRetriever, data: ImpressionData, slates: Slates
) -> NDArray[np.float32]:
    """Score every shown article for its reader, float32 ``(entries,)``.

    Each article of the catalogue is encoded once, each distinct history once; a score is their dot
    product, and no slate is padded.
    """
    articles = retriever.refresh()
    used, reader_of = np.unique(slates.histories, return_inverse=True)
    readers = retriever.embed_queries(data.history_frame(used))
    rows = reader_of[slates.rows]
    scores = np.empty(len(slates.items), np.float32)
    for start in range(0, len(scores), _BLOCK):
        block = slice(start, start + _BLOCK)
        np.einsum(
            "ed,ed->e", readers[rows[block]], articles[slates.items[block]], out=scores[block]
        )
    by_age = retriever.age_vectors()
    if by_age is not None:
        scores += (readers @ by_age.T)[rows, data.ages(slates)]
    return scores
