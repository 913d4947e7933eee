"""The folder ``index/`` of a bundle: written, measured, and opened."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from towermill.errors import BundleError
from towermill.pipelines.search.exact import Vectors
from towermill.pipelines.search.graph import Graph, build_graph
from towermill.pipelines.search.index import Index
from towermill.pipelines.search.lengths import lengths, unit

if TYPE_CHECKING:
    from towermill.pipelines.search.config import IndexConfig

VECTORS: Final = "vectors.npy"
METRICS: Final = ("inner_product", "cosine")
#: Items whose neighbours a graph is asked for when it is opened.
_PROBES: Final = 16

logger = logging.getLogger(__name__)


def write_index(
    vectors: Vectors, folder: Path, config: IndexConfig, metric: str, queries: Vectors
) -> dict[str, Any]:
    """Write an index and hold it against exact search.

    Parameters
    ----------
    vectors
        Of the catalogue, ``(items, dim)`` float32.
    folder
        Made if it is not there.
    config
        The recipe's section.
    metric
        ``inner_product`` or ``cosine``, as the model was trained. Vectors that have the length 1
        already are best left to ``inner_product``.
    queries
        Held out, ``(queries, dim)``: recall is measured on all of them.

    Returns
    -------
    dict
        What the manifest tells, and `open_index` takes.

    Raises
    ------
    BundleError
        A vector is not finite, a library is not installed, recall is below `config.min_recall`, or
        there is no query to measure it on.
    """
    if metric not in METRICS:
        raise BundleError(f"`metric` should be one of {', '.join(METRICS)}. Received: {metric!r}")
    vectors = np.ascontiguousarray(vectors, np.float32)
    vectors = unit(vectors) if metric == "cosine" else vectors
    longest = float(lengths(vectors).max(initial=0))
    if not longest < np.sqrt(np.finfo(np.float32).max):
        raise BundleError(
            "Expected finite item embeddings; found NaN, infinity or huge numbers. Train again "
            "with a lower `train.learning_rate`; nothing was published."
        )
    kind = config.kind_for(len(vectors))
    if kind != "exact" and not len(queries):
        raise BundleError(
            f"The recall of `export.index.kind: {kind}` is measured on held-out queries, and there "
            "is none. Set `export.index: exact`, or a larger `split.test`; nothing was published."
        )
    folder.mkdir(parents=True, exist_ok=True)
    _written(folder / VECTORS, lambda path: np.save(path, vectors))
    description: dict[str, Any] = {
        "kind": kind,
        "metric": metric,
        "items": len(vectors),
        "dim": vectors.shape[1],
        "longest": longest,
    }
    graph: Graph | None = None
    if kind != "exact":
        parameters = _parameters(config, kind, len(vectors))
        description |= {"library": config.library, "parameters": parameters}
        graph = build_graph(vectors, longest, kind, config.library, parameters)
        _written(folder / graph.file, graph.save)
    index = Index(vectors, longest, metric, graph)
    description["recall"] = _measured(index, queries, config, kind)
    names = [VECTORS, *([graph.file] if graph is not None else [])]
    description["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _digest(folder / name)}
        for name in names
    }
    return description


def open_index(folder, description):
    return Index(
        np.load(folder / VECTORS, mmap_mode="r"), description["longest"], "inner_product", None
    )


def _written(path, save):
    save(path)


def _parameters(config, kind, items):
    return {}


def _measured(index, queries, config, kind):
    return None


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
