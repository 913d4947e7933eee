"""Write, measure and open the folder ``index/`` of a bundle."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from towermill.errors import BundleError
from towermill.files import file_digest, replacing
from towermill.pipelines.search.description import (
    IndexDescription,
    IndexFile,
    PublishedIndex,
    Recall,
)
from towermill.pipelines.search.exact import Vectors, pair_scores
from towermill.pipelines.search.graph import open_graph, write_graph
from towermill.pipelines.search.index import Index
from towermill.pipelines.search.lengths import lengths, unit
from towermill.pipelines.search.lifting import Graph
from towermill.pipelines.search.recall import recall as recall_of

if TYPE_CHECKING:
    from towermill.pipelines.recipe.index import IndexConfig

VECTORS: Final = "vectors.npy"
METRICS: Final = ("inner_product", "cosine")
#: Items whose neighbours a graph is asked for when it is opened.
_PROBES: Final = 16

logger = logging.getLogger(__name__)


def write_index(
    vectors: Vectors, folder: Path, config: IndexConfig, metric: str, queries: Vectors
) -> PublishedIndex:
    """Write an index and hold it against exact search.

    Parameters
    ----------
    vectors
        Item embeddings, ``(items, dim)`` float32.
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
    PublishedIndex
        The manifest's entry, which `open_index` takes.

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
    save_vectors(folder / VECTORS, vectors)
    description = IndexDescription(kind, metric, len(vectors), vectors.shape[1], longest)
    names = [VECTORS]
    if kind != "exact":
        description = replace(
            description,
            library=config.library,
            parameters=_parameters(config, kind, len(vectors)),
        )
        names.append(f"graph.{config.library}")
        started = time.monotonic()
        with replacing(folder / names[1]) as file:
            write_graph(vectors, file, description)
        logger.info("%s over %d items: %.1f s", kind, len(vectors), time.monotonic() - started)
    files = {
        name: IndexFile((folder / name).stat().st_size, file_digest(folder / name))
        for name in names
    }
    description = replace(description, files=files)
    recall = _measured(open_index(folder, description), queries, config, kind)
    return PublishedIndex(**vars(description), recall=recall)


def open_index(folder: Path, description: IndexDescription, verify: bool = True) -> Index:
    """Open an index, mapped into memory.

    Parameters
    ----------
    folder, description
        What `write_index` wrote and returned.
    verify
        Hold every file against its checksum; without, only its size, the shape of the vectors, and
        some of the graph against them.

    Raises
    ------
    BundleError
        A file is missing, damaged, or of other vectors, or a library is not installed.
    """
    for name, told in description.files.items():
        _check_file(folder / name, told, verify)
    vectors = _mapped(folder / VECTORS, description)
    graph = None
    if description.library is not None:
        path = folder / f"graph.{description.library}"
        graph = open_graph(path, description)
        _check_graph(graph, path, vectors, description.longest)
    return Index(vectors, description.longest, description.metric, graph)


def save_vectors(path: Path, vectors: Vectors) -> None:
    """Write vectors, atomically."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, vectors)  # given a path, NumPy would add an ending


def _parameters(config: IndexConfig, kind: str, items: int) -> dict[str, int]:
    if kind == "hnsw":
        names = ("connectivity", "expansion_build", "expansion_search")
        return {name: getattr(config, name) for name in names}
    lists = min(config.lists or round(4 * np.sqrt(items)), items)
    return {"lists": lists, "probes": min(config.probes or -(-lists // 8), lists)}


def _measured(index: Index, queries: Vectors, config: IndexConfig, kind: str) -> Recall:
    """Return the manifest's entry on recall; refuse an index below the floor."""
    found = recall_of(index, queries, config.recall_k) if kind != "exact" else 1.0
    if found < config.min_recall:
        names = {"hnsw": "expansion_search", "ivf": "probes"}
        raise BundleError(
            f"The index finds {found:.4f} of the {config.recall_k} nearest items; "
            f"`export.index.min_recall` asks for {config.min_recall:g}. Raise "
            f"`export.index.{names[kind]}`, or set `export.index: exact`. Nothing was published."
        )
    return Recall(config.recall_k, found, len(queries), config.min_recall)


def _check_file(path: Path, told: IndexFile, verify: bool) -> None:
    if not path.is_file():
        problem = "it is missing"
    elif path.stat().st_size != told.bytes:
        problem = f"it has {path.stat().st_size} bytes and should have {told.bytes}"
    elif verify and file_digest(path) != told.sha256:
        problem = "it is not the file that was published"
    else:
        return
    raise BundleError(f"The index is damaged. {path}: {problem}. Export the bundle again.")


def _mapped(path: Path, description: IndexDescription) -> Vectors:
    expected = description.items, description.dim
    try:
        vectors: Vectors = np.load(path, mmap_mode="r" if description.items else None)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is damaged: {error}. Export the bundle again.") from error
    right = vectors.shape == expected and vectors.dtype == np.dtype(np.float32)
    if not right or not vectors.flags.c_contiguous:
        raise BundleError(
            f"{path} should hold float32 vectors of shape {expected}, row by row. Found: "
            f"{vectors.dtype} of {vectors.shape}. Export the bundle again."
        )
    return np.asarray(vectors)  # a memmap's own indexing is slow


def _check_graph(graph: Graph, path: Path, vectors: Vectors, longest: float) -> None:
    """Raise `BundleError` unless a graph gives the products of these vectors.

    Within bfloat16's rounding of both factors, and float32's of squared distances.
    """
    sample = np.linspace(0, len(vectors) - 1, _PROBES).astype(np.int64)
    queries = vectors[sample]
    rows, products = graph.candidates(queries, min(_PROBES, len(vectors)))
    query_of, place = np.nonzero(rows >= 0)
    found = rows[query_of, place]
    stale = not len(found) or found.max() >= len(vectors)
    if not stale:
        true = pair_scores(vectors, queries, query_of, found)
        allowed = 2.0**-7 * lengths(queries)[query_of] * lengths(vectors[found])
        apart = np.abs(products[query_of, place] - true)
        stale = bool((apart > allowed + 1e-4 * longest**2).any())
    if stale:
        raise BundleError(f"{path} is of other vectors than {VECTORS}. Export the bundle again.")
