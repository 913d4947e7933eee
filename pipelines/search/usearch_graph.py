"""HNSW by usearch.

Vectors are kept in bfloat16: of half the size, built in little over half the time, and, with
scores recomputed, of the same recall as float32. usearch lets one search into a graph at a time, so
the file is mapped once for each core, into the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.description import IndexDescription
from towermill.pipelines.search.exact import Rows, Vectors
from towermill.pipelines.search.lifting import check_size, lifted_queries
from towermill.runtime.cores import cores

#: Queries for which it is worth to start threads.
_MANY: Final = 64


class UsearchGraph:
    """A candidate search; see `towermill.pipelines.search.lifting.Graph`."""

    def __init__(self, indexes: Sequence[Any]) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        for index in indexes:
            self._free.put(index)

    @staticmethod
    def write(points: Vectors, path: Path, parameters: Mapping[str, int]) -> None:
        """Put lifted vectors ``(items, dim + 1)`` into a new graph, neighbours by angle."""
        index = _empty("cos", points.shape[1], parameters)
        index.add(np.arange(len(points), dtype=np.uint64), points)
        index.save(path)

    @staticmethod
    def extend(
        path: Path, points: Vectors, new: int, out: Path, parameters: Mapping[str, int]
    ) -> None:
        """Add the last `new` of the lifted vectors to a graph, and write it to another file."""
        index = _empty("cos", points.shape[1], parameters)
        index.load(path)
        first = len(points) - new
        index.add(np.arange(first, len(points), dtype=np.uint64), points[first:])
        index.save(out)

    @classmethod
    def open(cls, path: Path, description: IndexDescription) -> UsearchGraph:
        """Map a file into memory."""
        indexes = []
        for _ in range(cores()):
            index = _empty("ip", description.dim + 1, description.parameters)
            try:
                index.view(path)
                index.metric = "ip"  # the file says how it was built, by angle
            except (RuntimeError, ValueError) as error:
                raise BundleError(
                    f"{path} is damaged: {error}. Export the bundle again."
                ) from error
            check_size(path, (len(index), index.ndim), description)
            indexes.append(index)
        return cls(indexes)

    def candidates(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Return rows ``(queries, count)``, -1 where there are fewer, and their products."""
        rows = np.full((len(queries), count), -1, np.int64)
        products = np.full((len(queries), count), -np.inf, np.float32)
        alone = len(queries) == 1
        # Each call starts its own threads, and a server's threads have a core each already.
        threads = 1 if len(queries) < _MANY else 0
        index = self._free.get()
        try:
            found = index.search(lifted_queries(queries), count, threads=threads)
        finally:
            self._free.put(index)
        for i, matches in enumerate([found] if alone else found):
            rows[i, : len(matches)] = matches.keys
            products[i, : len(matches)] = 1 - matches.distances
        return rows, products


def _empty(metric: str, dim: int, parameters: Mapping[str, int]) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise BundleError(
            "`library: usearch` needs the package usearch. Install it: pip install usearch"
        ) from error
    return Index(
        ndim=dim,
        metric=metric,
        dtype="bf16",
        connectivity=parameters["connectivity"],
        expansion_add=parameters["expansion_build"],
        expansion_search=parameters["expansion_search"],
        enable_key_lookups=False,
    )
