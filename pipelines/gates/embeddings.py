"""The gates of a retriever's item embeddings, and of the index over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.gates.sample import SAMPLE, spread


def check_index(bundle: Bundle) -> dict[str, Any]:
    """The index has a vector an item; its recall, measured at export, is above the floor."""
    told, index = bundle.manifest.require_index(), bundle.index
    if index.vectors.shape != (len(bundle.items), bundle.manifest.dim):
        raise BundleError(
            f"The index should hold {len(bundle.items)} vectors of {bundle.manifest.dim} "
            f"numbers; it holds {index.vectors.shape}. It is stale: export again."
        )
    recall = told.recall
    if recall.value < recall.floor:
        raise BundleError(
            f"The index should find {recall.floor:g} of the best {recall.k}; it found "
            f"{recall.value:.4f}. Raise `export.index.expansion_search`, or choose "
            "`export.index: exact`."
        )
    return {"kind": told.kind}


def check_embeddings(bundle: Bundle) -> dict[str, Any]:
    """Item embeddings are finite, and the same in the Parquet file as in the index."""
    vectors = bundle.index.vectors
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise BundleError(
            f"Item embeddings should be finite. {len(bad)} hold NaN or infinity, first that of "
            f"{bundle.items.raw(ITEM_ID)[int(bad[0])].as_py()!r}. Train again with a lower "
            "`train.learning_rate`."
        )
    table = pq.read_table(bundle.path / "item_embeddings.parquet")
    ids = table.column(ITEM_ID).to_numpy()
    if not np.array_equal(ids, np.arange(FIRST_ID, FIRST_ID + len(bundle.items))):
        raise BundleError(
            "item_embeddings.parquet should have the item ids in the order of the catalogue. Rows "
            "were swapped or are missing: export again."
        )
    for column in range(vectors.shape[1]):
        if not np.array_equal(table.column(str(column)).to_numpy(), vectors[:, column]):
            raise BundleError(
                "item_embeddings.parquet should hold the vectors of the index; they differ. The "
                "index is stale, or the file was changed: export again."
            )
    return {"items": len(vectors), "dim": int(vectors.shape[1])}


def check_collapse(bundle: Bundle) -> dict[str, Any]:
    """Check that item embeddings differ: see `collapse`."""
    share, rank = collapse(bundle.index.vectors)
    dim = bundle.index.vectors.shape[1]
    found = {"distinct_share": share, "effective_rank": rank}
    if len(bundle.items) < 3:
        return found
    for key, name, value, floor in (
        ("min_distinct", "share of distinct ones", share, bundle.manifest.floor("min_distinct")),
        ("min_rank", "effective rank", rank, min(bundle.manifest.floor("min_rank"), dim / 2)),
    ):
        if value < floor:
            raise BundleError(
                f"Item embeddings should not be collapsed: their {name} should be at least "
                f"{floor:g} (`export.gates.{key}`) and is {value:.3g}. Train longer, with another "
                "`train.learning_rate`, or with features that tell the items apart."
            )
    return found


def check_item_tower(bundle: Bundle) -> dict[str, Any]:
    """The item tower in ONNX gives the embeddings that the index holds."""
    rows = spread(len(bundle.items))
    found = bundle.embed_known_items(rows)
    difference = np.abs(found - bundle.index.vectors[rows]).max(axis=1)
    allowed = bundle.manifest.parity.tolerance
    worst = int(np.argmax(difference))
    if not difference[worst] <= allowed:
        raise BundleError(
            f"The item tower should give {bundle.items.raw(ITEM_ID)[int(rows[worst])].as_py()!r} "
            f"the vector that the index holds; they differ by {difference[worst]:.3g}, and "
            f"`export.tolerance` allows {allowed:g}. The index is stale, or the table of items was "
            "changed: export again."
        )
    return {"items": len(rows), "max_abs_difference": float(difference.max())}


def collapse(vectors: NDArray[np.float32]) -> tuple[float, float]:
    """Return the share of distinct vectors, and the effective rank of the centred ones.

    The effective rank is the exponential of the entropy of the singular values' shares (Roy and
    Vetterli, EUSIPCO 2007): 0 of vectors that are all alike, at most the dimension.
    """
    if not len(vectors):
        return 1.0, 0.0
    distinct = len(np.unique(np.ascontiguousarray(vectors).view(f"V{vectors[0].nbytes}")))
    sample = vectors[spread(len(vectors), 20 * SAMPLE)].astype(np.float64)
    singular = np.linalg.svd(sample - sample.mean(axis=0), compute_uv=False)
    scale = np.abs(sample).max() * np.finfo(np.float32).eps * len(sample)
    shares = singular[singular > scale]
    if not len(shares):
        return distinct / len(vectors), 0.0
    shares = shares / shares.sum()
    return distinct / len(vectors), float(np.exp(-(shares * np.log(shares)).sum()))
