"""Write a bundle from a trained model, and publish it only if it passes every gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill import __version__
from towermill.columns import EVENT_TIMESTAMP, ITEM_ID, Entity
from towermill.errors import BundleError
from towermill.features.config import Features
from towermill.models.build import load_model
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever, Spread
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import (
    INDEX,
    Manifest,
    OnnxModel,
    Parity,
    Rows,
    content_id,
    files_of,
    onnx_file,
    save_manifest,
)
from towermill.pipelines.export.feast import write_feast
from towermill.pipelines.export.input_specs import describe_inputs
from towermill.pipelines.export.onnx import write_onnx
from towermill.pipelines.export.raw_tower import RawTower, raw_inputs
from towermill.pipelines.export.saved_models import save_signature
from towermill.pipelines.export.tables import write_tables
from towermill.pipelines.gates.gates import check_bundle
from towermill.pipelines.gates.live_model import check_against_live
from towermill.pipelines.gates.saved_models import run_saved
from towermill.pipelines.search.store import write_index

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe

#: Rows on which the reloaded bundle is compared with the live model, and the index with exact
#: search.
_SAMPLE = 1000


def export_bundle(
    inputs: Mapping[str, Path],
    recipe: Recipe,
    out: Path,
    spread: Spread | None = None,
    packages: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the bundle to the folder `out`; ``manifest.json`` comes last.

    Parameters
    ----------
    inputs
        Folders of the stages ``process``, ``train`` and ``evaluate``.
    recipe
        Kept in the manifest.
    spread
        Encodes the items elsewhere.
    packages
        Versions of what wrote it, for the manifest.

    Raises
    ------
    BundleError
        A gate is not passed: see `gates` and `live_model`.
    """
    data, model = load_model(inputs["process"], inputs["train"], recipe.model)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for folder in (data.folder.workflow, data.folder.text):
        if folder.is_dir():
            shutil.copytree(folder, out / folder.name)
    _write_features(data, recipe.name, out)
    model.spread = spread
    served = _EXPORTS[model.contract](data, model, recipe, out)
    files, told = files_of(out), data.stats.model_dump(mode="json")
    manifest = Manifest(
        id=content_id(files),
        towermill=__version__,
        packages=dict(packages),
        recipe=recipe.model_dump(mode="json"),
        **served,
        item_columns=told["columns"]["item"],
        as_of=told["as_of"],
        title=told["title"],
        rows=Rows(data.users.height, data.items.height),
        metrics=json.loads((inputs["evaluate"] / "metrics.json").read_text()),
        files=files,
    )
    _publish(out, manifest, data, model, recipe)


def _write_features(data: Processed, name: str, out: Path) -> None:
    """Write users, items and seen items: for other systems, for Feast, and for the reader."""
    moment = data.stats.as_of or datetime(1970, 1, 1)
    stamp = pl.lit(moment.replace(tzinfo=UTC), pl.Datetime("us", "UTC")).alias(EVENT_TIMESTAMP)
    data.users.with_columns(stamp).write_parquet(out / "user_features.parquet")
    data.items.with_columns(stamp).write_parquet(out / "item_features.parquet")
    shutil.copy(data.folder.seen, out / "seen_items.parquet")
    write_tables(data.users, data.items, pl.read_parquet(data.folder.seen), out)
    write_feast(out, name)


def _publish(
    out: Path,
    manifest: Manifest,
    data: Processed,
    model: Retriever | Ranker,
    recipe: Recipe,
) -> None:
    """Write the manifest, which makes a bundle of the folder, if all gates are passed."""
    try:
        bundle = Bundle(out, manifest=manifest)
        gates = {
            **check_bundle(bundle),
            **check_against_live(bundle, data, model, recipe.export.tolerance),
        }
    except BundleError as error:
        raise BundleError(f"{error} Nothing was published.") from error
    save_manifest(out, replace(manifest, gates=gates))


def _export_retriever(
    data: Processed, retriever: Retriever, recipe: Recipe, out: Path
) -> dict[str, Any]:
    """Write the towers, the items' embeddings and their index; return the manifest's entries."""
    embeddings = retriever.embed_items(data.items)
    # Here, wherever the items were encoded: a query tower may hold their vectors.
    retriever.embed_queries(data.query_sample(1))
    if not np.isfinite(embeddings).all():
        raise _not_finite("item embeddings")
    queries = data.query_sample(_SAMPLE)
    asked = retriever.embed_queries(queries)
    towers = {"query_tower": retriever.query_tower, "item_tower": retriever.item_tower}
    for name, tower in towers.items():
        save_signature(tower, tower.schema, out / name, "embedding")
        write_onnx(out / name, out / onnx_file(name))
    query_features = describe_inputs(
        retriever.query_tower.schema, out, _features(data, "user", "context")
    )
    RawTower(retriever.query_tower, query_features, out).save(out / "query_tower_raw")
    columns = {str(i): embeddings[:, i] for i in range(embeddings.shape[1])}
    table = pl.DataFrame({ITEM_ID: data.items[ITEM_ID], **columns})
    table.write_parquet(out / "item_embeddings.parquet")
    (out / INDEX).mkdir()
    held_out = retriever.embed_queries(data.held_out_sample(_SAMPLE))
    index = write_index(embeddings, out / INDEX, recipe.export.index, "inner_product", held_out)
    items = data.items.head(_SAMPLE)
    differences = {
        "query_tower": _difference(out, "query_tower", queries, towers["query_tower"], asked),
        "item_tower": _difference(
            out, "item_tower", items, towers["item_tower"], embeddings[:_SAMPLE]
        ),
    }
    return {
        "kind": "retriever",
        "query_features": query_features,
        "item_features": describe_inputs(retriever.item_tower.schema, out, _features(data, "item")),
        "raw_inputs": raw_inputs(query_features),
        "dim": int(embeddings.shape[1]),
        "index": index,
        "onnx": {name: _onnx(name, "embedding") for name in towers},
        "parity": _parity(differences, recipe.export.tolerance, len(queries)),
    }


def _export_ranker(data: Processed, ranker: Ranker, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write the ranker; return the manifest's entries."""
    queries = data.query_sample(_SAMPLE).select(ranker.query_schema.column_names)
    items = data.items.select(ranker.item_schema.column_names)
    save_signature(ranker.model, ranker.schema, out / "ranker", "score")
    write_onnx(out / "ranker", out / onnx_file("ranker"))
    rng = np.random.default_rng(0)
    users = queries[rng.integers(0, len(queries), _SAMPLE)]
    shown = items[rng.integers(0, len(items), _SAMPLE)]
    live = ranker.score(users, shown)
    if not np.isfinite(live).all():
        raise _not_finite("scores")
    pairs = pl.concat([users, shown], how="horizontal")
    differences = {"ranker": _difference(out, "ranker", pairs, ranker, live)}
    return {
        "kind": "ranker",
        "query_features": describe_inputs(
            ranker.query_schema, out, _features(data, "user", "context")
        ),
        "item_features": describe_inputs(ranker.item_schema, out, _features(data, "item")),
        "onnx": {"ranker": _onnx("ranker", "score")},
        "parity": _parity(differences, recipe.export.tolerance, len(users)),
    }


def _features(data: Processed, *entities: Entity) -> Features:
    columns = data.stats.columns
    return {n: f for entity in entities for n, f in columns.get(entity, {}).items()}


def _onnx(name: str, output: str) -> OnnxModel:
    return OnnxModel(onnx_file(name), output)


def _difference(
    out: Path, name: str, rows: pl.DataFrame, model: Any, live: NDArray[np.float32]
) -> float:
    """Return how far a reloaded SavedModel is from the live model, at most."""
    schema: Schema = model.schema
    found = run_saved(out / name, to_batch(rows, schema))
    return float(np.abs(found - live).max())


def _parity(differences: Mapping[str, float], tolerance: float, rows: int) -> Parity:
    """Return the manifest's entry on parity; refuse a reloaded model that differs."""
    for name, difference in differences.items():
        if not difference <= tolerance:
            raise BundleError(
                f"The reloaded {name} differs from the trained one by {difference:.3g}; "
                f"`export.tolerance` allows {tolerance:g}. Nothing was published."
            )
    return Parity(dict(differences), tolerance, rows)


def _not_finite(what: str) -> BundleError:
    return BundleError(
        f"Expected finite {what}; found NaN or infinity. Train again with a lower "
        "`train.learning_rate`; nothing was published."
    )


#: What writes a model, by its contract.
_EXPORTS: Mapping[str, Any] = {"retriever": _export_retriever, "ranker": _export_ranker}
