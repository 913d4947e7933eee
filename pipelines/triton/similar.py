"""Triton's model ``similar``: an item to those whose embeddings are nearest to its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.search.store import open_index
from towermill.pipelines.tables import IdTable
from towermill.pipelines.triton.answers import named, scored
from towermill.pipelines.triton.tensors import Folder, answer, lengths, needed, texts


class TritonPythonModel:
    """Searches the bundle's index for the neighbours of an item that is in it."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the index and map the table of items into memory."""
        folder = Folder(args)
        self._k, self._most = folder.number("k"), folder.number("max_k")
        self._index = open_index(folder.path / "index", folder.manifest["index"])
        self._items = IdTable(folder.path / "tables" / "items.arrow", ITEM_ID)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return answer(requests, self._respond)

    def _respond(self, request: Any) -> Mapping[str, NDArray[Any]]:
        ids = texts("ITEM_ID", needed(request, "ITEM_ID", 1))
        ks = lengths(request, len(ids), self._k, self._most)
        found = [self._items.find(item) for (item,) in ids]
        rows = np.full((len(ids), int(ks.max())), -1, np.int64)
        scores = np.zeros(rows.shape, np.float32)
        for place, (row, k) in enumerate(zip(found, ks, strict=True)):
            if row is not None:
                itself = [np.array([row], np.int64)]
                near = self._index.search(self._index.vectors[[row]], int(k), exclude=itself)
                rows[place, :k], scores[place, :k] = near[0][0], near[1][0]
        return {
            "SIMILAR_ID": named(self._items, rows),
            "SCORE": scored(rows, scores),
            "KNOWN": np.array([row is not None for row in found])[:, None],
        }
