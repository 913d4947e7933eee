"""Triton's model ``candidates``: query embeddings to the top-k items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID, OOV_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.manifest import INDEX, ITEMS, SEEN
from towermill.pipelines.bundle.tables import IdTable, SeenTable
from towermill.pipelines.search.store import open_index
from towermill.pipelines.triton.answers import named, scored
from towermill.pipelines.triton.tensors import Folder, answer, given, lengths, needed, texts


class TritonPythonModel:
    """Searches the bundle's index, and leaves out items a user has seen or excluded."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the index and map the tables into memory."""
        folder = Folder(args)
        self._k, self._most = folder.number("k"), folder.number("max_k")
        self._dim = folder.manifest.dim
        self._index = open_index(folder.path / INDEX, folder.manifest.require_index())
        self._items = IdTable(folder.path / ITEMS, ITEM_ID)
        self._seen = SeenTable(folder.path / SEEN)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return answer(requests, self._respond)

    def _respond(self, request: Any) -> Mapping[str, NDArray[Any]]:
        queries = needed(request, "EMBEDDING", self._dim)
        if not np.isfinite(queries).all():
            raise BundleError("EMBEDDING should be finite. Received: NaN or infinity")
        ks = lengths(request, len(queries), self._k, self._most)
        unwanted = self._unwanted(request, len(queries))
        rows, scores = self._index.search(queries, int(ks.max()), exclude=unwanted)
        rows = np.where(np.arange(rows.shape[1]) < ks[:, None], rows, -1)
        return {"ITEM_ID": named(self._items, rows), "SCORE": scored(rows, scores)}

    def _unwanted(self, request: Any, rows: int) -> list[NDArray[np.int64]]:
        """Return for each query the rows of items that may not be in its answer."""
        found = [np.zeros(0, np.int64)] * rows
        users = given(request, "USER", 1, rows)
        filtered = given(request, "FILTER_SEEN", 1, rows)
        for row in range(rows if users is not None else 0):
            known = users[row, 0] != OOV_ID
            if known and (filtered is None or filtered[row, 0]):
                found[row] = self._seen.of(int(users[row, 0]) - FIRST_ID)
        excluded = given(request, "EXCLUDE", None, rows)
        if excluded is not None:
            for row, ids in enumerate(texts("EXCLUDE", excluded)):
                found[row] = np.union1d(found[row], self._items.find_all(ids))
        return found
