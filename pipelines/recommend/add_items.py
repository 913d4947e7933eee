"""Add new items to a bundle by their features, without training or building its index again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from towermill.columns import (
    EVENT_TIMESTAMP,
    FIRST_ID,
    ITEM_ID,
    RAW_PREFIX,
    TRAIN_COUNT,
    TRAIN_ROWS,
)
from towermill.errors import BundleError, DataError
from towermill.files import replacing_folder
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import (
    INDEX,
    ITEMS,
    Manifest,
    content_id,
    files_of,
    save_manifest,
)
from towermill.pipelines.export.tables import write_items
from towermill.pipelines.gates.gates import check_bundle
from towermill.pipelines.recommend.embed_items import EncodedItems, encode_items
from towermill.pipelines.search.extend import extend_index

#: Users whose queries measure the recall of a graph with the new items.
_QUERIES = 1000
#: The files of a bundle that hold its items.
_FEATURES, _EMBEDDINGS = "item_features.parquet", "item_embeddings.parquet"


def add_items(bundle: Path, items: Path, out: Path, trust: bool = False) -> int:
    """Write a bundle with more items, which are recommended by their features.

    The towers are the same: as part of a history, or as an id, a new item is unknown to them until
    the recipe is run again. Its row follows those of the items of training.

    Parameters
    ----------
    bundle
        The folder of a retriever's bundle, which is not changed.
    items
        The new items, as for `embed_items`.
    out
        The new bundle's folder, which is moved into place as a whole; it should not be there.
    trust
        As for `embed_items`.

    Returns
    -------
    int
        The number of new items.

    Raises
    ------
    BundleError
        The bundle is not whole or of a ranker, its items have no features, or a gate of the new
        bundle is not passed.
    DataError
        The file is not as `embed_items` takes it, an item is in the bundle already, or `out` is
        there.
    """
    if out.exists():
        raise DataError(f"The new bundle should be written to a folder of its own; {out} is there.")
    old = Bundle.open(bundle, verify=True)
    if not old.ranks and set(old.manifest.item_features) == {ITEM_ID}:
        raise BundleError(
            f"The item tower of {bundle} should take features; it knows items by id alone, so that "
            "all new ones would be alike. Train one with features (`history`, `two_tower`), or "
            "run the recipe with the new items."
        )
    made = encode_items(old, items, trust)
    known = [item for item in made.raw[ITEM_ID].to_list() if old.find_item(item) is not None]
    if known:
        raise DataError(
            f"The items to add should be new; {len(known)} are in the bundle already, such as "
            f"{known[0]!r}. Leave them out of {items}."
        )
    with replacing_folder(out) as folder:
        _copy(old, folder)
        _write_tables(old, made, folder)
        queries = old.embed_users(np.arange(min(_QUERIES, len(old.users))))
        index = extend_index(
            old.path / INDEX, old.manifest.require_index(), made.vectors, folder / INDEX, queries
        )
        files, rows = files_of(folder), old.manifest.rows
        manifest = replace(
            old.manifest,
            id=content_id(files),
            index=index,
            rows=replace(rows, items=rows.items + len(made.vectors)),
            files=files,
        )
        _publish(folder, manifest)
    return len(made.vectors)


def _copy(old: Bundle, folder: Path) -> None:
    """Copy the files of a bundle that are the same with more items."""
    for name in old.manifest.files:
        if name in (ITEMS, _FEATURES, _EMBEDDINGS) or name.startswith(f"{INDEX}/"):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(old.path / name, folder / name)
    (folder / INDEX).mkdir()


def _write_tables(old: Bundle, made: EncodedItems, folder: Path) -> None:
    """Write the tables of items, the new ones last."""
    held = pl.read_parquet(old.path / _FEATURES)
    ids = pl.Series(ITEM_ID, np.arange(len(made.vectors)) + held.height + FIRST_ID)
    given = {
        **{name: made.inputs[name] for name in made.inputs.columns},
        **{RAW_PREFIX + name: made.raw[name] for name in made.raw.columns},
        ITEM_ID: ids,
        **{name: pl.repeat(0, len(ids), eager=True) for name in (TRAIN_COUNT, TRAIN_ROWS)},
        EVENT_TIMESTAMP: pl.repeat(held[EVENT_TIMESTAMP].max(), len(ids), eager=True),
    }
    try:
        added = pl.DataFrame(
            {
                name: given[name].cast(kind)
                if name in given
                else pl.Series([None] * len(ids), dtype=kind)
                for name, kind in held.schema.items()
            }
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"The columns of the new items should be of the types they had in training: {error}. "
            "Write them as the recipe's own table of items has them."
        ) from error
    whole = pl.concat([held, added])
    whole.write_parquet(folder / _FEATURES)
    write_items(whole.drop(EVENT_TIMESTAMP), folder)
    columns = {str(i): made.vectors[:, i] for i in range(made.vectors.shape[1])}
    vectors = pl.DataFrame({ITEM_ID: ids.cast(pl.Int32), **columns})
    embeddings = pl.read_parquet(old.path / _EMBEDDINGS)
    pl.concat([embeddings, vectors.cast(embeddings.schema)]).write_parquet(folder / _EMBEDDINGS)


def _publish(folder: Path, manifest: Manifest) -> None:
    """Write the manifest if all gates are passed."""
    try:
        gates = check_bundle(Bundle(folder, manifest=manifest))
    except BundleError as error:
        raise BundleError(f"{error} Nothing was written.") from error
    save_manifest(folder, replace(manifest, gates={**manifest.gates, **gates}))
