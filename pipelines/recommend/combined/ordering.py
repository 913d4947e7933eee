"""Order a retriever's candidates by a ranker's scores, or by a mixture of both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, USER_ID
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.tables import Batch, IdTable

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class Ordering:
    """Orders candidates that are given by their rows in the retriever's bundle.

    Parameters
    ----------
    ranker
        The bundle that scores them.
    retriever
        The bundle that they are from. Users and items meet by raw id.
    weight
        The ranker's share of a score: see `mixed`.
    """

    def __init__(self, ranker: Bundle, retriever: Bundle, weight: float = 1.0) -> None:
        self.ranker, self.weight = ranker, weight
        self.items = rows_in(ranker.items, retriever.items, ITEM_ID)
        self.users = rows_in(ranker.users, retriever.users, USER_ID)

    def of_users(self, users: Rows, items: Rows, scores: Floats) -> tuple[Rows, Floats]:
        """Order the candidates of users by their rows in the retriever's bundle, -1 if unknown.

        See `order`.
        """
        found = np.where(users < 0, -1, self.users[np.maximum(users, 0)])
        batch = self.ranker.users_batch(np.maximum(found, 0))
        return self.order(batch, found >= 0, items, scores)

    def order(
        self, users: Batch, known: NDArray[np.bool_], items: Rows, scores: Floats
    ) -> tuple[Rows, Floats]:
        """Order the candidates of each query.

        Parameters
        ----------
        users
            The ranker's encoded features of each query, a row each.
        known
            Whether the ranker knows anything of the query, ``(queries,)``. For one that it does
            not, its order would be the same for everybody: the retriever's order is kept.
        items, scores
            Rows in the retriever's bundle and its scores, ``(queries, candidates)``, best first;
            -1 where there are fewer.

        Returns
        -------
        rows, scores
            As given, in the new order. A score is NaN where the ranker does not know the item:
            these come last, in the retriever's order.
        """
        return sort_candidates(
            items, mixed(self.score(users, known, items), scores, known, self.weight)
        )

    def score(self, users: Batch, known: NDArray[np.bool_], items: Rows) -> Floats:
        """Return the ranker's scores of candidates, NaN where it does not know item or query."""
        found = np.where(items < 0, -1, self.items[np.maximum(items, 0)])
        query_of, place = np.nonzero((found >= 0) & known[:, None])
        ranked = np.full(items.shape, np.nan, np.float32)
        ranked[query_of, place] = self.ranker.score_rows(users, query_of, found[query_of, place])
        return ranked


def rows_in(table: IdTable, other: IdTable, key: str) -> Rows:
    """Return the row in `table` of each raw id of `other`, -1 where there is none."""
    wanted, held = other.raw(key), table.raw(key)
    if wanted.type != held.type:
        wanted, held = wanted.cast(pa.large_string()), held.cast(pa.large_string())
    rows: Rows = pc.fill_null(pc.index_in(wanted, held), -1).to_numpy().astype(np.int64)
    return rows


def mixed(ranked: Floats, scores: Floats, known: NDArray[np.bool_], weight: float) -> Floats:
    """Return the scores that candidates are ordered by, ``(queries, candidates)``.

    Parameters
    ----------
    ranked
        The ranker's scores; NaN where there is none.
    scores
        The retriever's.
    known
        Queries that the ranker knows; the others keep the retriever's scores.
    weight
        1 returns the ranker's scores. Below that, both are standardised over the query's
        candidates, and this is the ranker's share of the sum.

    Examples
    --------
    >>> ranked, scores = np.array([[1.0, 3.0]]), np.array([[8.0, 4.0]])
    >>> mixed(ranked, scores, np.array([True]), 1.0).tolist()
    [[1.0, 3.0]]
    >>> mixed(ranked, scores, np.array([True]), 0.25).tolist()
    [[0.5, -0.5]]
    """
    if weight < 1:
        held = np.isfinite(ranked)
        both = weight * _standardised(ranked, held) + (1 - weight) * _standardised(scores, held)
        ranked = np.where(held, both, np.nan).astype(ranked.dtype)
    return np.where(known[:, None], ranked, scores)


def _standardised(scores: Floats, held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return scores less their mean, by their deviation, over what is held of each query."""
    count = np.maximum(held.sum(axis=1, keepdims=True), 1)
    values = np.where(held, scores, 0).astype(np.float64)
    centred = np.where(held, values - values.sum(axis=1, keepdims=True) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    result: NDArray[np.float64] = centred / np.where(deviation > 0, deviation, 1)
    return result


def sort_candidates(items: Rows, scores: Floats) -> tuple[Rows, Floats]:
    """Return candidates by falling score, equal ones as given; NaN, then missing ones, last.

    Examples
    --------
    >>> items, scores = np.array([[5, 6, 7, -1]]), np.array([[np.nan, 1.0, 2.0, 9.0]])
    >>> [found.tolist() for found in sort_candidates(items, scores)]
    [[[7, 6, 5, -1]], [[2.0, 1.0, nan, 9.0]]]
    """
    keys = np.where(np.isnan(scores), np.inf, -scores)
    order = np.lexsort((keys, items < 0), axis=-1)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
