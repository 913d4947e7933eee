"""Measure the recall of an index against exact search."""

from __future__ import annotations

import numpy as np

from towermill.pipelines.search.exact import Vectors
from towermill.pipelines.search.index import Index


def recall(index: Index, queries: Vectors, k: int) -> float:
    """Return the mean share of the `k` nearest items that an index finds.

    An item that scores as much as the `k`-th nearest counts as one of them.

    Parameters
    ----------
    index
        Held against exact search over its own vectors.
    queries
        ``(queries, dim)``, at least one.
    k
        At most all items are asked for.
    """
    k = min(k, len(index.vectors))
    if k == 0:
        return 1.0
    truth = Index(index.vectors, index.longest, index.metric, None)
    _, best = truth.search(queries, k)
    _, found = index.search(queries, k)
    return float(np.mean(found >= best[:, -1:]))
