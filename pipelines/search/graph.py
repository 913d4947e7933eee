"""Approximate search of candidates: HNSW by usearch or faiss, IVF by faiss.

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

from pathlib import Path
from typing import Any

import numpy as np

from towermill.pipelines.search.description import IndexDescription
from towermill.pipelines.search.exact import Vectors
from towermill.pipelines.search.lengths import lengths
from towermill.pipelines.search.lifting import _WITHIN, Graph, lifted


def write_graph(vectors: Vectors, path: Path, description: IndexDescription) -> None:
    """Build a graph over all of `vectors`, on all cores, and write it to a file.

    Parameters
    ----------
    vectors
        ``(items, dim)``, at least one.
    path
        The graph's file.
    description
        Its ``kind``, ``library``, ``parameters``, and ``longest``, the length of the longest
        vector.

    Raises
    ------
    BundleError
        The library is not installed.
    """
    points = lifted(vectors, _radius(vectors, description))
    _backend(str(description.library)).write(points, path, description.parameters)


def extend_graph(
    path: Path, vectors: Vectors, new: int, out: Path, description: IndexDescription
) -> None:
    """Add vectors to a graph without building it again, and write it to another file.

    Parameters
    ----------
    path
        The graph of all vectors but the new ones.
    vectors
        ``(items, dim)``; the last `new` are added.
    new
        How many, at least 1.
    out
        The file to write.
    description
        That of the graph at `path`.
    """
    radius = _radius(vectors[:-new], description)
    points = lifted(vectors, radius)
    _backend(str(description.library)).extend(path, points, new, out, description.parameters)


def _radius(vectors: Vectors, description: IndexDescription) -> float:
    """Return the radius of the sphere that vectors are lifted to."""
    if description.kind == "hnsw":
        return float(np.quantile(lengths(vectors), _WITHIN))
    return description.longest


def open_graph(path: Path, description: IndexDescription) -> Graph:
    """Open a graph's file, mapped into memory.

    Raises
    ------
    BundleError
        It is not a graph of this many items and dimensions, or its library is not installed.
    """
    opened: Graph = _backend(str(description.library)).open(path, description)
    return opened


def _backend(library: str) -> Any:
    if library == "usearch":
        from towermill.pipelines.search.usearch_graph import UsearchGraph

        return UsearchGraph
    from towermill.pipelines.search.faiss_graph import FaissGraph

    return FaissGraph
