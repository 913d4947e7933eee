"""Turn inner products into cosines, for indexes that support only cosines."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.description import IndexDescription
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


def check_size(path: Path, found: tuple[int, int], description: IndexDescription) -> None:
    """Raise `BundleError` unless a graph's items and numbers are those of the description."""
    expected = description.items, description.dim + 1
    if found != expected:
        raise BundleError(
            f"{path} should be of {expected[0]} items of {expected[1]} numbers. Found: {found[0]} "
            f"of {found[1]}. Export the bundle again."
        )
