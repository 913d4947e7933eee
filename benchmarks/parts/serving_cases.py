"""A catalogue and its queries, as a trained recommender's look: for `serving.py`.

Uniform noise would be the wrong case: every item is as far from every other, and no recommender
learns that. Of the 64-dimensional towers that the demo recipes train, the spectrum decays (an
effective rank of 8 to 9), items gather in topics, and lengths differ (standard deviation of their
logarithm 0.2 to 0.3) and grow with popularity. So it is here, and harder: an effective rank of 18,
and 0.37.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOPICS = 2_000


def catalogue(items: int, dim: int, queries: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Return vectors of items, the most popular first, and of queries, float32 ``(rows, dim)``.

    An item is its topic's centre and noise of 0.7 times the topics' own spread; topics are of
    Zipf's sizes. Its length is log-normal (0.3) and falls by half from the most popular to the
    least. A query is a mixture of one to four topics and noise.
    """
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dim + 1, dtype=np.float32) ** -0.6
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)

    def drawn(rows: int) -> NDArray[np.float32]:
        return (rng.standard_normal((rows, dim), np.float32) * scale) @ rotation

    topics = drawn(_TOPICS)
    sizes = 1 / np.arange(1, _TOPICS + 1) ** 0.8
    vectors = topics[rng.choice(_TOPICS, items, p=sizes / sizes.sum())] + 0.7 * drawn(items)
    popular = np.arange(1, items + 1, dtype=np.float32) ** (-np.log(2) / np.log(max(items, 2)))
    vectors *= (popular * np.exp(0.3 * rng.standard_normal(items, np.float32)))[:, None]

    parts = rng.integers(1, 5, queries)
    shares = rng.exponential(size=(queries, 4)) * (np.arange(4) < parts[:, None])
    chosen = topics[rng.choice(_TOPICS, (queries, 4), p=sizes / sizes.sum())]
    mixed = np.einsum("qp,qpd->qd", shares / shares.sum(axis=1, keepdims=True), chosen)
    return vectors, mixed.astype(np.float32) + 0.4 * drawn(queries)
