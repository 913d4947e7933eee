"""Find a ranker's best items by scoring every pair, as it has no embeddings to search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towermill.pipelines.bundle.tables import Batch, IdTable
from towermill.pipelines.bundle.towers import Tower

#: Pairs that are scored by one call.
_PAIRS: Final = 1 << 16


def best_pairs(
    ranker: Tower,
    items: IdTable,
    users: Sequence[Batch],
    k: int,
    exclude: Sequence[NDArray[np.int64]],
    allowed: Sequence[NDArray[np.int64] | None],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the `k` items of the highest scores for each user, equal ones by row.

    Parameters
    ----------
    ranker
        Takes the features of users and of items.
    items
        The catalogue.
    users
        The encoded features of one user each.
    exclude, allowed
        Rows to leave out per user, and the only rows allowed; None allows all.

    Returns
    -------
    rows, scores
        int64 and float32, ``(users, k)``; -1 and minus infinity where there are fewer.
    """
    best = np.full((len(users), k), -1)
    best_scores = np.full((len(users), k), -np.inf, np.float32)
    for place, user in enumerate(users):
        only = allowed[place]
        shown = np.arange(len(items)) if only is None else np.unique(only)
        shown = shown[~np.isin(shown, exclude[place])]
        scores = _scores(ranker, items, user, shown)
        order = np.argsort(-scores, kind="stable")[:k]
        best[place, : len(order)] = shown[order]
        best_scores[place, : len(order)] = scores[order]
    return best, best_scores


def _scores(
    ranker: Tower, items: IdTable, user: Batch, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = rows[start : start + _PAIRS]
        pairs = {**_repeated(user, len(part)), **items.batch(ranker.features, part)}
        scores[start : start + _PAIRS] = ranker(pairs)
    return scores


def _repeated(user: Batch, rows: int) -> Batch:
    """Return a batch of so many rows of one user."""
    batch: Batch = {}
    for name, values in user.items():
        if name.endswith("__offsets"):
            batch[name] = (np.arange(rows + 1) * values[-1]).astype(values.dtype)
        else:
            batch[name] = np.tile(values, rows)
    return batch
