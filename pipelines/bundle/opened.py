"""Open a bundle: its tables, towers and index, with ONNX Runtime, NumPy and Arrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, USER_ID
from towermill.pipelines.bundle.manifest import (
    INDEX,
    ITEMS,
    SEEN,
    USERS,
    Manifest,
    bundle_folder,
    check_digests,
    load_manifest,
    onnx_file,
)
from towermill.pipelines.bundle.query import By, Query
from towermill.pipelines.bundle.query_encoder import QueryEncoder
from towermill.pipelines.bundle.raw_features import RawFeatures
from towermill.pipelines.bundle.tables import Batch, IdTable, SeenTable
from towermill.pipelines.bundle.towers import Tower, join
from towermill.pipelines.search.index import Index
from towermill.pipelines.search.store import open_index


class OpenBundle:
    """The tables, towers and index of a bundle; `Bundle` recommends from them.

    Its parameters, attributes and errors are those of `Bundle`.
    """

    def __init__(
        self, path: str | Path, verify: bool = False, manifest: Manifest | None = None
    ) -> None:
        self.path = bundle_folder(path)
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
    def open(cls, path: str | Path, verify: bool = False) -> Self:
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

    def check(self, query: Query) -> None:
        """Raise `BundleError` if a query cannot be answered."""
        self._encoder.check(query, histories=not self.ranks)

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

    def score_pairs(self, pairs: Batch) -> NDArray[np.float32]:
        """Return a ranker's scores of pairs by their encoded features, float32 ``(pairs,)``."""
        return self._tower("ranker")(pairs)

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

    def load(self) -> None:
        """Read everything that is otherwise read on first use.

        From then on the folder may be moved or removed.
        """
        for name in self.manifest.onnx:
            self._tower(name)
        self.raw_queries.load()
        self.raw_items.load()

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
