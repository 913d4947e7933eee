"""Triton's model ``similar``: an item id to the items with the most similar embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.bundle.manifest import INDEX, ITEMS
from towermill.pipelines.bundle.similar_items import Cosines
from towermill.pipelines.bundle.tables import IdTable
from towermill.pipelines.search.store import open_index
from towermill.pipelines.triton.answers import named, scored
from towermill.pipelines.triton.tensors import Folder, answer, lengths, needed, texts


class TritonPythonModel:
    """Finds the greatest cosines with an item's embedding, as the bundle's reader does."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Map the items' embeddings and their table into memory."""
        folder = Folder(args)
        self._k, self._most = folder.number("k"), folder.number("max_k")
        index = open_index(folder.path / INDEX, folder.manifest.require_index())
        self._cosines = Cosines(index.vectors)
        self._items = IdTable(folder.path / ITEMS, ITEM_ID)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return answer(requests, self._respond)

    def _respond(self, request: Any) -> Mapping[str, NDArray[Any]]:
        ids = texts("ITEM_ID", needed(request, "ITEM_ID", 1))
        ks = lengths(request, len(ids), self._k, self._most)
        found = [self._items.find(item) for (item,) in ids]
        known = np.array([row is not None for row in found])
        rows = np.full((len(ids), int(ks.max())), -1)
        cosines = np.zeros(rows.shape, np.float32)
        some = np.array([row for row in found if row is not None], np.int64)
        rows[known], cosines[known] = self._cosines.nearest(some, rows.shape[1])
        rows = np.where(np.arange(rows.shape[1]) < ks[:, None], rows, -1)
        return {
            "SIMILAR_ID": named(self._items, rows),
            "SCORE": scored(rows, cosines),
            "KNOWN": known[:, None],
        }
