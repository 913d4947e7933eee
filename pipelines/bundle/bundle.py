"""Read a bundle and recommend from it, with ONNX Runtime, NumPy and Arrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.opened import OpenBundle
from towermill.pipelines.bundle.pair_search import best_pairs, pair_scores
from towermill.pipelines.bundle.query import By, Query, Recommendations
from towermill.pipelines.bundle.query_encoder import require_list
from towermill.pipelines.bundle.similar_items import Cosines
from towermill.pipelines.bundle.tables import Batch
from towermill.pipelines.search.exact import check_k


class Bundle(OpenBundle):
    """A published bundle, opened for reading by any number of threads.

    Parameters
    ----------
    path
        Its folder, or that of a run (``runs/<recipe>/latest``).
    verify
        Verify checksums; otherwise only sizes.
    manifest
        Manifest of an unpublished bundle (its folder has none yet).

    Attributes
    ----------
    users, items
        The tables of known users and items; row i is encoded as i + 3.
    raw_queries, raw_items
        Encode raw features of a query or an item.

    Raises
    ------
    BundleError
        There is no bundle, it is not whole, a file is damaged, or it is of another format.
    """

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
        features: Mapping[str, Any] | None = None,
        exclude: Sequence[Any] = (),
        candidates: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return the `k` items that score highest for a user, raw features, or a history.

        Equal scores are ordered by encoded id, and so by training frequency. In a news model, all
        articles score 0 for a user without a known history, who gets the most frequent ones.

        Parameters
        ----------
        user_id, k, filter_seen, history, features, exclude, candidates
            See `Query`.

        Raises
        ------
        BundleError
            An argument is of another type, or the model takes no `history`.
        """
        query = Query(user_id, k, filter_seen, history, features, exclude, candidates)
        return self.answer([query])[0]

    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        """Return what `recommend` gives for each of several queries, embedded and searched at once.

        Raises
        ------
        BundleError
            One of them cannot be answered.
        """
        if not queries:
            return []
        rows, scores, by = self.search(queries)
        return [
            Recommendations(items, one in ("user", "history"), one)
            for items, one in zip(self.described(rows, scores), by, strict=True)
        ]

    def search(
        self, queries: Sequence[Query]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], list[By]]:
        """Return the best items of several queries, embedded and searched at once.

        Returns
        -------
        rows, scores
            int64 and float32, ``(queries, k)`` for the largest `k`, best first; -1 beyond a
            query's own `k`, or where there are fewer.
        by
            What each query was made from: see `Recommendations`.
        """
        for query in queries:
            self.check(query)
        asked = [self._encoder.look_up(query) for query in queries]
        both = list(zip(queries, asked, strict=True))
        exclude = [self._left_out(query, one.met) for query, one in both]
        allowed = [
            None if query.candidates is None else self.items.find_all(query.candidates)
            for query in queries
        ]
        k = min(max(query.k for query in queries), len(self.items))
        if self.ranks:
            users = [self._encoder.one(one) for one in asked]
            rows, scores = best_pairs(self._tower("ranker"), self.items, users, k, exclude, allowed)
        else:
            embedded = self._tower("query_tower")(self._encoder.batch(asked))
            rows, scores = self.index.search(embedded, k, exclude, allowed)
        for place, query in enumerate(queries):
            rows[place, query.k :] = -1
        return rows, scores, [one.by for one in asked]

    def best_of_users(
        self, rows: NDArray[np.int64], k: int, filter_seen: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the best `k` items of the users of some rows, as `search` does."""
        seen = [self.seen(int(row)) for row in rows] if filter_seen else None
        return self.index.search(self.embed_users(rows), min(k, len(self.items)), seen, None)

    def require_in_bulk(self) -> None:
        """Raise `BundleError` if many users cannot be answered at once."""
        if self.ranks:
            raise BundleError(
                f"Expected the bundle of a retriever, whose embeddings are compared; {self.path} "
                "is that of a ranker, which orders a retriever's candidates. Recommend from a "
                "retriever's, or from a funnel of the two."
            )

    def similar(self, item_id: Any, k: int = 10) -> list[dict[str, Any]]:
        """Return the `k` items whose embeddings have the greatest cosine with an item's.

        Raises
        ------
        BundleError
            The item is not known, or the bundle is a ranker's.
        """
        return self.similar_many([item_id], k)[0]

    def similar_many(self, item_ids: Sequence[Any], k: int = 10) -> list[list[dict[str, Any]]]:
        """Return what `similar` gives for each of several items."""
        check_k(k)
        self.manifest.require_index()
        require_list(item_ids, "item_ids")
        rows = []
        for item_id in item_ids:
            row = self.items.find(item_id)
            if row is None:
                raise BundleError(f"The item {item_id!r} is not known to this bundle.")
            rows.append(row)
        found, cosines = self._cosines.nearest(np.array(rows, np.int64), min(k, len(self.items)))
        return self.described(found, cosines)

    def nearest_of(
        self, rows: NDArray[np.int64], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return for each of some items the `k` nearest of others, as `similar` measures it.

        Parameters
        ----------
        rows
            Rows of the query items, ``(n,)``.
        among
            Rows of the items to choose from, ``(m,)``.
        k
            How many of them, at least 1.

        Returns
        -------
        rows, cosines
            int64 and float32, ``(n, min(k, m))``, nearest first.

        Raises
        ------
        BundleError
            The bundle is a ranker's.
        """
        self.manifest.require_index()
        return self._cosines.nearest_of(rows, among, k)

    def rank(self, user_id: Any, items: Sequence[Any]) -> Recommendations:
        """Return these items in the order in which a user should see them.

        Items that the bundle does not know come last, in the order given, with a score of None.

        Parameters
        ----------
        user_id
            Raw id, as for `recommend`.
        items
            Raw ids; a second mention of one is passed over.

        Raises
        ------
        BundleError
            `items` is no list.
        """
        require_list(items, "items")
        known: dict[int, Any] = {}
        unknown: list[dict[str, Any]] = []
        for item in items:
            row = self.items.find(item)
            if row is not None:
                known.setdefault(row, item)
            elif {ITEM_ID: item, "score": None} not in unknown:
                unknown.append({ITEM_ID: item, "score": None})
        met = self.users.find(user_id) is not None
        found = Recommendations([], met, "user" if met else "default")
        if known:
            query = Query(user_id, len(known), filter_seen=False, candidates=list(known.values()))
            found = self.answer([query])[0]
        return replace(found, items=found.items + unknown)

    def score_rows(
        self, users: Batch, user_of: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return a ranker's scores of pairs of users and items by their rows: see `pair_scores`."""
        return pair_scores(self._tower("ranker"), self.items, users, user_of, rows)

    @cached_property
    def _cosines(self) -> Cosines:
        return Cosines(self.index.vectors)

    def load(self) -> None:
        super().load()
        if not self.ranks:
            self._cosines.load()

    def _left_out(self, query: Query, met: NDArray[np.int64]) -> NDArray[np.int64]:
        seen = met if query.filter_seen else met[:0]
        return np.concatenate([seen, self.items.find_all(query.exclude)])
