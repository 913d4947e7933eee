"""Add vectors to the index of a bundle without building its graph again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from towermill.errors import BundleError
from towermill.files import file_digest, replacing
from towermill.pipelines.search.description import IndexFile, PublishedIndex
from towermill.pipelines.search.exact import Vectors
from towermill.pipelines.search.graph import extend_graph, write_graph
from towermill.pipelines.search.lengths import lengths, unit
from towermill.pipelines.search.recall import recall
from towermill.pipelines.search.store import VECTORS, open_index, save_vectors


def extend_index(
    folder: Path, told: PublishedIndex, added: Vectors, out: Path, queries: Vectors
) -> PublishedIndex:
    """Write an index with more vectors, and measure its recall against exact search.

    A graph takes the new vectors in; only lists (``ivf``) are built again where a new vector is
    longer than all others, as their distances depend on the longest.

    Parameters
    ----------
    folder, told
        The index, which is not changed, and its entry in the manifest.
    added
        ``(items, dim)`` float32, at least one; their rows follow those of the index.
    out
        An existing folder.
    queries
        ``(queries, dim)``: the recall of a graph is measured on all of them.

    Raises
    ------
    BundleError
        A vector is not finite, or the recall is below the floor that the index was published with.
    """
    added = unit(added) if told.metric == "cosine" else added
    longest = float(np.max([told.longest, *lengths(added)]))
    if not longest < np.sqrt(np.finfo(np.float32).max):
        raise BundleError(
            "Expected finite vectors of the new items; found NaN, infinity or huge numbers. Look "
            "at the numbers of the items."
        )
    vectors = np.concatenate([open_index(folder, told, verify=False).vectors, added])
    save_vectors(out / VECTORS, vectors)
    description = replace(told, items=len(vectors), longest=longest)
    if told.library is not None:
        name = f"graph.{told.library}"
        with replacing(out / name) as file:
            if told.kind == "ivf" and longest > told.longest:
                write_graph(vectors, file, description)
            else:
                extend_graph(folder / name, vectors, len(added), file, told)
    files = {
        name: IndexFile((out / name).stat().st_size, file_digest(out / name)) for name in told.files
    }
    description = replace(description, files=files)
    if told.library is None:
        return description
    found = recall(open_index(out, description), queries, told.recall.k)
    if found < told.recall.floor:
        raise BundleError(
            f"The index finds {found:.4f} of the {told.recall.k} nearest items with the new ones; "
            f"`export.index.min_recall` asks for {told.recall.floor:g}. Nothing was written. Run "
            "the recipe with the new items, which builds the index again."
        )
    measured = replace(told.recall, value=found, queries=len(queries))
    return replace(description, recall=measured)
