"""HNSW by faiss, and its inverted lists: these by distances between lifted vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from towermill.errors import BundleError
from towermill.extras import install_command
from towermill.pipelines.search.description import IndexDescription
from towermill.pipelines.search.exact import Rows, Vectors
from towermill.pipelines.search.lengths import unit
from towermill.pipelines.search.lifting import check_size, lifted_queries


class FaissGraph:
    """A candidate search; see `towermill.pipelines.search.lifting.Graph`."""

    def __init__(self, index: Any, description: IndexDescription) -> None:
        faiss = _faiss()
        self._index = index
        #: Squared length of lifted vectors, where neighbours are by distance.
        self._square = description.longest**2 if description.kind == "ivf" else None
        # Given with each search, it is no state that threads would share.
        parameters = description.parameters
        if description.kind == "ivf":
            self._effort = faiss.SearchParametersIVF(nprobe=parameters["probes"])
        else:
            self._effort = faiss.SearchParametersHNSW(efSearch=parameters["expansion_search"])

    @staticmethod
    def write(points: Vectors, path: Path, parameters: Mapping[str, int]) -> None:
        """Put lifted vectors ``(items, dim + 1)`` into new lists, or a graph by angle."""
        faiss = _faiss()
        dim = points.shape[1]
        if "lists" in parameters:
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, parameters["lists"])
            index.cp.min_points_per_centroid = 1  # it would warn of catalogues too small for IVF
            index.train(points)
            index.add(points)
        else:
            index = faiss.IndexHNSWFlat(dim, parameters["connectivity"])
            index.hnsw.efConstruction = parameters["expansion_build"]
            index.add(unit(points))
            # The graph stays; when it is read, it is searched by products of these.
            storage = faiss.downcast_index(index.storage)
            storage.reset()
            storage.add(points)
            index.metric_type = storage.metric_type = faiss.METRIC_INNER_PRODUCT
        faiss.write_index(index, str(path))

    @staticmethod
    def extend(
        path: Path, points: Vectors, new: int, out: Path, parameters: Mapping[str, int]
    ) -> None:
        """Add the last `new` of the lifted vectors to an index, and write it to another file."""
        faiss = _faiss()
        index = faiss.read_index(str(path))
        if "lists" in parameters:
            index.add(points[-new:])
        else:
            # Neighbours by angle, as it was built: products of unit vectors order alike.
            storage = faiss.downcast_index(index.storage)
            storage.reset()
            storage.add(unit(points[:-new]))
            index.hnsw.efConstruction = parameters["expansion_build"]
            index.add(unit(points[-new:]))
            storage.reset()
            storage.add(points)
        faiss.write_index(index, str(out))

    @classmethod
    def open(cls, path: Path, description: IndexDescription) -> FaissGraph:
        """Map a file into memory."""
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise BundleError(f"{path} is damaged: {error}. Export the bundle again.") from error
        check_size(path, (index.ntotal, index.d), description)
        return cls(index, description)

    def candidates(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Return rows ``(queries, count)``, -1 where there are fewer, and their products."""
        found, rows = self._index.search(lifted_queries(queries), count, params=self._effort)
        if self._square is None:
            return rows, found
        squares = np.einsum("qd,qd->q", queries, queries)[:, None]
        return rows, (squares + self._square - found) / 2


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise BundleError(
            "`library: faiss` needs the package faiss-cpu, which is not installed. "
            f"Install it: {install_command('faiss')}"
        ) from error
    return faiss
