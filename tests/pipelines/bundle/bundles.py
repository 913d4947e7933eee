"""Bundles changed on purpose, as if they had been exported so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from towermill.pipelines.bundle.manifest import (
    INDEX,
    ITEMS,
    SEEN,
    USERS,
    files_of,
    parse_manifest,
    save_manifest,
)
from towermill.pipelines.bundle.tables import BY_ID
from towermill.pipelines.export.tables import write_tables
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search.store import write_index


def reseal(bundle: Path, **changes: Any) -> None:
    """Take the files for those that were published, and change fields of the manifest."""
    changes["files"] = files_of(bundle)
    save_manifest(bundle, replace(parse_manifest(bundle), **changes))


def tables_of(bundle: Path) -> dict[str, pl.DataFrame]:
    """Return ``users``, ``items`` and ``seen``."""
    named = {"users": USERS, "items": ITEMS, "seen": SEEN}
    tables = {n: pl.read_ipc((bundle / path).read_bytes()) for n, path in named.items()}
    return {n: table.drop(BY_ID, strict=False) for n, table in tables.items()}


def rewrite(bundle: Path, **tables: pl.DataFrame) -> None:
    """Put other tables in their places: those of the reader, and the Parquet files."""
    held = tables_of(bundle) | tables
    write_tables(**held, out=bundle)
    held["users"].write_parquet(bundle / "user_features.parquet")
    held["items"].write_parquet(bundle / "item_features.parquet")
    held["seen"].write_parquet(bundle / "seen_items.parquet")
    reseal(bundle)


def reindex(bundle: Path, vectors: np.ndarray[Any, Any]) -> None:
    """Put other embeddings in the place of the items'."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    told = write_index(vectors, bundle / INDEX, IndexConfig(), "inner_product", vectors[:1])
    ids = pl.read_parquet(bundle / "item_embeddings.parquet", columns=["item_id"])
    columns = [pl.Series(str(i), vectors[:, i]) for i in range(vectors.shape[1])]
    ids.with_columns(columns).write_parquet(bundle / "item_embeddings.parquet")
    reseal(bundle, index=told)
