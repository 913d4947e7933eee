"""HNSW and inverted lists by faiss, over distances between lifted vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.exact import Rows, Vectors
from towermill.pipelines.search.graph import check_size, lifted_queries


class FaissGraph:
    """What finds candidates; see `towermill.pipelines.search.graph.Graph`."""

    file: Final = "graph.faiss"

    def __init__(self, index: Any, longest: float, parameters: Mapping[str, int]) -> None:
        faiss = _faiss()
        self._index, self._longest = index, longest
        # Given with each search, it is no state that threads would share.
        if "probes" in parameters:
            self._effort = faiss.SearchParametersIVF(nprobe=parameters["probes"])
        else:
            self._effort = faiss.SearchParametersHNSW(efSearch=parameters["expansion_search"])

    @classmethod
    def build(
        cls, kind: str, points: Vectors, longest: float, parameters: Mapping[str, int]
    ) -> FaissGraph:
        """Put lifted vectors ``(items, dim + 1)`` into a new index, on all cores."""
        faiss = _faiss()
        dim = points.shape[1]
        if kind == "ivf":
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, parameters["lists"])
            index.cp.min_points_per_centroid = 1  # its warning is for catalogues of no use for IVF
            index.train(points)
        else:
            index = faiss.IndexHNSWFlat(dim, parameters["connectivity"])
            index.hnsw.efConstruction = parameters["expansion_build"]
        index.add(points)
        return cls(index, longest, parameters)

    @classmethod
    def open(cls, path: Path, description: Mapping[str, Any]) -> FaissGraph:
        """Map a file into memory."""
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise BundleError(f"{path} is damaged: {error}. Export the bundle again.") from error
        check_size(path, (index.ntotal, index.d), description)
        return cls(index, description["longest"], description["parameters"])

    def candidates(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Return rows ``(queries, count)``, -1 where there are fewer, and their products."""
        distances, rows = self._index.search(lifted_queries(queries), count, params=self._effort)
        squares = np.einsum("qd,qd->q", queries, queries)[:, None]
        return rows, (squares + self._longest**2 - distances) / 2

    def save(self, path: Path) -> None:
        """Write it to a file."""
        _faiss().write_index(self._index, str(path))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise BundleError(
            "`library: faiss` needs the package faiss-cpu. Install it: pip install "
            "'towermill[faiss]'"
        ) from error
    return faiss
