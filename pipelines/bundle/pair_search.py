"""Find a ranker's best items by scoring every pair, as it has no embeddings to search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towermill.pipelines.bundle.tables import Batch, IdTable
from towermill.pipelines.bundle.towers import Tower, take

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
        scores = pair_scores(ranker, items, user, np.zeros(len(shown), np.int64), shown)
        order = np.argsort(-scores, kind="stable")[:k]
        best[place, : len(order)] = shown[order]
        best_scores[place, : len(order)] = scores[order]
    return best, best_scores


def pair_scores(
    ranker: Tower,
    items: IdTable,
    users: Batch,
    user_of: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return a ranker's score of each pair of a user and an item, float32 ``(pairs,)``.

    Parameters
    ----------
    ranker, items
        As for `best_pairs`.
    users
        The encoded features of users, a row each.
    user_of, rows
        The row in `users` and the item's row of each pair.
    """
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        of_users = take(users, user_of[part])
        scores[part] = ranker({**of_users, **items.batch(ranker.features, rows[part])})
    return scores
