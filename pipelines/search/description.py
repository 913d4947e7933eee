"""Records of an index: how to open it, and its measured recall."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class IndexFile:
    """A file of an index."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class IndexDescription:
    """The description needed to open an index.

    Attributes
    ----------
    kind
        ``exact``, ``hnsw`` or ``ivf``.
    metric
        ``inner_product`` or ``cosine``.
    items, dim
        The shape of its vectors.
    longest
        Length of the longest vector.
    library, parameters
        The graph's library and parameters; None and empty for ``exact``.
    files
        By name.
    """

    kind: str
    metric: str
    items: int
    dim: int
    longest: float
    library: str | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    files: dict[str, IndexFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Recall:
    """Share of the `k` nearest items that is found, on held-out queries, and the least allowed."""

    k: int
    value: float
    queries: int
    floor: float


@dataclass(frozen=True)
class PublishedIndex(IndexDescription):
    """An index with its measured recall, as the manifest stores it."""

    recall: Recall = field(kw_only=True)
