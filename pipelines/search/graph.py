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
    radius = description.longest
    if description.kind == "hnsw":
        radius = float(np.quantile(lengths(vectors), _WITHIN))
    backend = _backend(str(description.library))
    backend.write(lifted(vectors, radius), path, description.parameters)


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
