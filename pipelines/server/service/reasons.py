"""Explain a recommended item by the items of the history nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from towermill.columns import ITEM_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.query import Query
from towermill.pipelines.server.service.reader import Reader

#: Of a longer history, the last of it.
MOST_HISTORY = 1000


def add_reasons(
    bundle: Reader, query: Query, items: Sequence[dict[str, Any]], k: int
) -> list[dict[str, Any]]:
    """Return recommended items, each with the nearest items of the history as `because`.

    Parameters
    ----------
    bundle
        The bundle that recommended them.
    query
        The query; its `history`, or the items its user has seen, are searched.
    items
        As in `Recommendations`.
    k
        How many reasons an item at most; none are given by a bundle without item embeddings.
    """
    history = _history(bundle, query)[-MOST_HISTORY:]
    rows = [bundle.find_item(item[ITEM_ID]) for item in items]
    try:
        near, scores = bundle.nearest_of(
            np.array(rows, np.int64), np.array(history, np.int64), min(k, max(1, len(history)))
        )
    except BundleError:
        return [{**item, "because": []} for item in items]
    return [
        {
            **item,
            "because": [
                {**bundle.item(int(row)), "score": float(score)}
                for row, score in zip(near[i], scores[i], strict=True)
            ],
        }
        for i, item in enumerate(items)
    ]


def _history(bundle: Reader, query: Query) -> list[int]:
    if query.history is not None:
        rows = [bundle.find_item(item) for item in query.history]
        return list(dict.fromkeys(row for row in rows if row is not None))
    user = None if query.user_id is None else bundle.find_user(query.user_id)
    return [] if user is None else bundle.seen(user).tolist()
