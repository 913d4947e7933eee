"""What finds candidates fast and not always all: HNSW by usearch or faiss, IVF by faiss.

By inner product a vector need not be nearest to itself, and a graph of neighbours by product leads
every search to the few longest vectors: with lengths like a trained recommender's, recall stays
near 0.6 however much is searched. So vectors are *lifted*: one more number, the root of what their
squared length lacks to that of a sphere, and 0 for a query, which leaves products with queries as
they were (Bachrach et al., RecSys 2014, "Speeding up the Xbox recommender system using a Euclidean
transformation for inner-product spaces"). Around the longest vector, products and distances agree,
but most vectors crowd at a pole. HNSW does best between: neighbours by the angles between vectors
lifted to a sphere that one in a hundred reaches out of, searched by products.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.exact import Rows, Vectors
from towermill.pipelines.search.lengths import lengths

#: Share of the vectors inside the sphere that HNSW's are lifted to. The best of 0, 0.5, 0.9, 0.99
#: and 1 over 100,000 items; 0.995 is as good over 200,000: see docs/results.md.
_WITHIN: Final = 0.99


class Graph(Protocol):
    """Candidates of queries, without promise to find all."""

    def candidates(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        """Return rows ``(queries, count)``, -1 where there are fewer, and their products.

        Products are the library's own, in the precision in which it keeps vectors.
        """


def lifted(vectors: Vectors, radius: float) -> Vectors:
    """Return `vectors` with one more number, which makes all that are shorter of one length."""
    lacking = np.sqrt(np.maximum(radius**2 - lengths(vectors) ** 2, 0))
    return np.concatenate([vectors, lacking[:, None].astype(np.float32)], axis=1)


def lifted_queries(queries: Vectors) -> Vectors:
    """Return `queries` with one more number, 0."""
    return np.concatenate([queries, np.zeros((len(queries), 1), np.float32)], axis=1)


def write_graph(vectors: Vectors, path: Path, description: Mapping[str, Any]) -> None:
    """Build a graph over all of `vectors`, on all cores, and write it to a file.

    Parameters
    ----------
    vectors
        ``(items, dim)``, at least one.
    path
        Of the file.
    description
        Its ``kind``, ``library``, ``parameters``, and ``longest``, the length of the longest
        vector.

    Raises
    ------
    BundleError
        The library is not installed.
    """
    radius = description["longest"]
    if description["kind"] == "hnsw":
        radius = float(np.quantile(lengths(vectors), _WITHIN))
    backend = _backend(description["library"])
    backend.write(lifted(vectors, radius), path, description["parameters"])


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
