"""Read a bundle and recommend from it, with ONNX Runtime, NumPy and Arrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.manifest import (
    INDEX,
    ITEMS,
    SEEN,
    USERS,
    Manifest,
    check_digests,
    load_manifest,
    onnx_file,
)
from towermill.pipelines.bundle.pair_search import best_pairs, pair_scores
from towermill.pipelines.bundle.query import By, Query, Recommendations
from towermill.pipelines.bundle.query_encoder import QueryEncoder, require_list
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.similar_items import Cosines
from towermill.pipelines.bundle.tables import Batch, IdTable, SeenTable
from towermill.pipelines.bundle.towers import Tower, join
from towermill.pipelines.search.exact import check_k
from towermill.pipelines.search.index import Index
from towermill.pipelines.search.store import open_index


class Bundle:
    """A published bundle, opened for reading by any number of threads.

    Parameters
    ----------
    path
        Its folder.
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

    def __init__(
        self, path: str | Path, verify: bool = False, manifest: Manifest | None = None
    ) -> None:
        # Resolved: a link to the newest bundle may come to lead elsewhere.
        self.path = Path(path).resolve() if Path(path).exists() else Path(path)
        self.manifest = manifest or load_manifest(self.path)
        if verify:
            check_digests(self.path, self.manifest)
        self._towers: dict[str, Tower] = {}
        self.users = IdTable(self.path / USERS, USER_ID)
        self.items = IdTable(self.path / ITEMS, ITEM_ID)
        self._seen = SeenTable(self.path / SEEN)
        self._query_features = self.manifest.query_features
        tables = {USER_ID: self.users, ITEM_ID: self.items}
        self.raw_queries = RawFeatures(self.path, self._query_features, tables)
        self._encoder = QueryEncoder(
            self.users, self.items, self._seen, self._query_features, self.raw_queries
        )
        self.raw_items = RawFeatures(self.path, self.manifest.item_features, tables)

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> Bundle:
        """Open the bundle at `path`."""
        return cls(path, verify)

    @property
    def ranks(self) -> bool:
        """Whether it is a ranker's, which scores pairs; else it is a retriever's."""
        return self.manifest.ranks

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""
        return self.manifest.title

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

    def check(self, query: Query) -> None:
        """Raise `BundleError` if a query cannot be answered."""
        self._encoder.check(query, histories=not self.ranks)

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

    def embed_queries(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """Return the embeddings of queries, float32 ``(queries, dim)``."""
        if not queries:
            return np.zeros((0, self.manifest.dim), np.float32)
        return self._tower("query_tower")(self.encode_queries(queries)[0])

    def embed_users(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings of the users of some rows, float32 ``(rows, dim)``."""
        if not len(rows):
            return np.zeros((0, self.manifest.dim), np.float32)
        return self._tower("query_tower")(self.users_batch(rows))

    def users_batch(self, rows: NDArray[np.int64]) -> Batch:
        """Return the encoded query features of the users of some rows, as the tower takes them."""
        return self._encoder.of_users(rows)

    def embed_items(self, features: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Return the embeddings of items, known or new, by their raw features, ``(items, dim)``.

        Embeddings of the known items are in ``index/vectors.npy``. For a model of texts, use
        `towermill.pipelines.recommend.embed_items`.
        """
        self.manifest.require_index()
        for values in features:
            self.raw_items.check(values)
        batches = [self.raw_items.encode(values) for values in features]
        if not batches:
            return np.zeros((0, self.manifest.dim), np.float32)
        return self._tower("item_tower")(join(batches, self.manifest.item_features))

    def embed_known_items(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the item tower's embeddings of the items of some rows, float32 ``(rows, dim)``.

        They equal the rows of ``index.vectors``.
        """
        features = self.manifest.item_features
        return self._tower("item_tower")(self.items.batch(features, rows))

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

    def score_pairs(self, pairs: Batch) -> NDArray[np.float32]:
        """Return a ranker's scores of pairs by their encoded features, float32 ``(pairs,)``."""
        return self._tower("ranker")(pairs)

    def score_rows(
        self, users: Batch, user_of: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return a ranker's scores of pairs of users and items by their rows: see `pair_scores`."""
        return pair_scores(self._tower("ranker"), self.items, users, user_of, rows)

    def encode_queries(self, queries: Sequence[Query]) -> tuple[Batch, list[By]]:
        """Return the encoded features of queries, a row each, and what each was made from."""
        for query in queries:
            self.check(query)
        asked = [self._encoder.look_up(query) for query in queries]
        return self._encoder.batch(asked), [one.by for one in asked]

    def described(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> list[list[dict[str, Any]]]:
        """Return the raw features and scores of the items of each query's rows; -1 is none."""
        found = rows >= 0
        items = iter(self.items.rows(rows[found]))
        return [
            [{**next(items), "score": score} for score in line[kept].tolist()]
            for line, kept in zip(scores, found, strict=True)
        ]

    def find_user(self, user_id: Any) -> int | None:
        """Return the row of a raw user id, given as itself or as text; None if it is not known."""
        return self.users.find(user_id)

    def find_item(self, item_id: Any) -> int | None:
        """Return the row of a raw item id, likewise."""
        return self.items.find(item_id)

    def user(self, row: int) -> dict[str, Any]:
        """Return the raw features of the user of a row."""
        return self.users.rows([row])[0]

    def item(self, row: int) -> dict[str, Any]:
        """Return the raw features of the item of a row."""
        return self.items.rows([row])[0]

    def item_column(self, name: str) -> pa.Array:
        """Return a raw feature of all items."""
        return self.items.raw(name)

    def user_column(self, name: str) -> pa.Array:
        """Return a raw feature of all users."""
        return self.users.raw(name)

    def seen(self, row: int) -> NDArray[np.int64]:
        """Return the rows of the items that the user of a row has seen."""
        return self._seen.of(row)

    @cached_property
    def index(self) -> Index:
        """The items' embeddings, to be searched."""
        return open_index(self.path / INDEX, self.manifest.require_index(), verify=False)

    @cached_property
    def _cosines(self) -> Cosines:
        return Cosines(self.index.vectors)

    def load(self) -> None:
        """Read everything that is otherwise read on first use.

        From then on the folder may be moved or removed.
        """
        for name in self.manifest.onnx:
            self._tower(name)
        self.raw_queries.load()
        self.raw_items.load()
        if not self.ranks:
            self._cosines.load()

    def _left_out(self, query: Query, met: NDArray[np.int64]) -> NDArray[np.int64]:
        seen = met if query.filter_seen else met[:0]
        return np.concatenate([seen, self.items.find_all(query.exclude)])

    def _tower(self, name: str) -> Tower:
        if name not in self._towers:
            both = {**self._query_features, **self.manifest.item_features}
            features = {
                "query_tower": self._query_features,
                "item_tower": self.manifest.item_features,
                "ranker": both,
            }
            self._towers[name] = Tower(self.path / onnx_file(name), features[name])
        return self._towers[name]
