"""What finds candidates fast and not always all: HNSW by usearch or faiss, IVF by faiss.

All of them are made for distances between points, where a point is nearest to itself. By inner
product it is not, and a graph of such neighbours leads every search to the longest vectors: with
lengths like a trained recommender's, recall stays near 0.6 however much is searched. So vectors
are *lifted* onto a sphere: one more number, the root of what their squared length lacks to the
longest's, and 0 for a query. Products with queries are what they were, and nearest by distance, by
cosine and by product are one (Bachrach et al., RecSys 2014, "Speeding up the Xbox recommender
system using a Euclidean transformation for inner-product spaces").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.exact import Rows, Vectors


class Graph(Protocol):
    """Candidates of queries, without promise to find all."""

    #: The name of its file in the folder of the index.
    file: str

    def candidates(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Return rows ``(queries, count)``, -1 where there are fewer, and their products.

        Products are the library's own, in the precision in which it keeps vectors.
        """

    def save(self, path: Path) -> None:
        """Write it to a file."""


def lifted(vectors: Vectors, longest: float) -> Vectors:
    """Return `vectors` with one more number, which makes all of the length `longest`."""
    squares = np.einsum("id,id->i", vectors, vectors, dtype=np.float64)
    lacking = np.sqrt(np.maximum(longest**2 - squares, 0))
    return np.concatenate([vectors, lacking[:, None].astype(np.float32)], axis=1)


def lifted_queries(queries: Vectors) -> Vectors:
    """Return `queries` with one more number, 0."""
    return np.pad(queries, ((0, 0), (0, 1)))


def build_graph(
    vectors: Vectors, longest: float, kind: str, library: str, parameters: Mapping[str, int]
) -> Graph:
    """Return a new graph over all of `vectors`.

    Parameters
    ----------
    vectors, longest
        As `towermill.pipelines.search.exact.exact_search` takes them; at least one.
    kind, library, parameters
        See `towermill.pipelines.search.config.IndexConfig`.

    Raises
    ------
    BundleError
        The library is not installed.
    """
    built: Graph = _backend(library).build(kind, lifted(vectors, longest), longest, parameters)
    return built


def open_graph(path: Path, description: Mapping[str, Any]) -> Graph:
    """Open a graph's file, mapped into memory.

    Raises
    ------
    BundleError
        It is no graph of so many items and numbers, or its library is not installed.
    """
    opened: Graph = _backend(description["library"]).open(path, description)
    return opened


def _backend(library: str) -> Any:
    if library == "usearch":
        from towermill.pipelines.search.usearch_graph import UsearchGraph

        return UsearchGraph
    from towermill.pipelines.search.faiss_graph import FaissGraph

    return FaissGraph


def check_size(path: Path, found: tuple[int, int], description: Mapping[str, Any]) -> None:
    """Raise `BundleError` unless a graph's items and numbers are those of the description."""
    expected = description["items"], description["dim"] + 1
    if found != expected:
        raise BundleError(
            f"{path} should be of {expected[0]} items of {expected[1]} numbers. Found: {found[0]} "
            f"of {found[1]}. Export the bundle again."
        )
