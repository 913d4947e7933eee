"""The bundle, written from a trained model and published only if it equals that model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill import __version__
from towermill.columns import FIRST_ID, ITEM_ID, NULL_ID, OOV_ID, PADDING_ID
from towermill.errors import BundleError
from towermill.models.data import Processed, to_batch
from towermill.models.ranker import Ranker
from towermill.models.retriever import Retriever, Spread
from towermill.models.tensors import as_tensors, tensor_specs
from towermill.models.train import load_model
from towermill.pipelines.bundle import FORMAT, MANIFEST, file_digest
from towermill.pipelines.keys import package_versions
from towermill.pipelines.recipe import Recipe, RuntimeConfig

_PACKAGES = ("tensorflow-cpu", "tensorflow", "nvtabular", "merlin-core", "merlin-models", "polars")
#: Rows on which a reloaded tower is held against the live one.
_PARITY_ROWS = 1000


def export_bundle(
    inputs: Mapping[str, Path], recipe: Recipe, out: Path, spread: Spread | None = None
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

    Raises
    ------
    BundleError
        An embedding or score is not finite, or what is reloaded differs from the trained model by
        more than `export.tolerance`.
    """
    data, model = load_model(inputs["process"], inputs["train"], recipe.model)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for folder in ("workflow", "text"):
        if (data.path / folder).is_dir():
            shutil.copytree(data.path / folder, out / folder)
    data.users.write_parquet(out / "user_features.parquet")
    data.items.write_parquet(out / "item_features.parquet")
    shutil.copy(data.path / "seen.parquet", out / "seen_items.parquet")
    if isinstance(model, Ranker):
        served = _export_ranker(data, model, recipe, out)
    else:
        model.spread = spread
        served = _export_retriever(data, model, recipe, out)
    metrics = json.loads((inputs["evaluate"] / "metrics.json").read_text())
    stats = json.loads((data.path / "stats.json").read_text())
    manifest = {
        "format": FORMAT,
        "towermill": __version__,
        "packages": package_versions(_PACKAGES),
        # Where it ran, what was tried and how it is tried out decide nothing of the bundle.
        "recipe": recipe.model_dump(
            mode="json",
            exclude={
                **dict.fromkeys(("tune", "simulate"), True),
                "runtime": set(RuntimeConfig.model_fields) - {"seed"},
            },
        ),
        "ids": {"padding": PADDING_ID, "null": NULL_ID, "unknown": OOV_ID, "first": FIRST_ID},
        **served,
        "item_columns": stats["columns"]["item"],
        "as_of": stats["as_of"],
        "title": stats["title"],
        "rows": {"users": data.users.height, "items": data.items.height},
        "metrics": metrics,
        "files": {
            str(path.relative_to(out)): file_digest(path)
            for path in sorted(out.rglob("*"))
            if path.is_file()
        },
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, default=str))


def _export_retriever(
    data: Processed, retriever: Retriever, recipe: Recipe, out: Path
) -> dict[str, Any]:
    """Write the towers and the items' embeddings; return what the manifest tells of them."""
    # First: a query tower may hold the vectors of the items.
    embeddings = retriever.embed_items(data.items)
    retriever.embed_queries(data.query_sample(1))
    for name, tower in (
        ("query_tower", retriever.query_tower),
        ("item_tower", retriever.item_tower),
    ):
        save_signature(tower, tower.schema, out / name, "embedding")
    _embedding_table(data.items[ITEM_ID], embeddings).write_parquet(out / "item_embeddings.parquet")
    if not np.isfinite(embeddings).all():
        raise _not_finite("item embeddings")
    queries, items = data.query_sample(_PARITY_ROWS), data.items.head(_PARITY_ROWS)
    differences = {
        "query_tower": _difference(
            out / "query_tower",
            to_batch(queries, retriever.query_tower.schema),
            retriever.embed_queries(queries),
        ),
        "item_tower": _difference(
            out / "item_tower",
            to_batch(items, retriever.item_tower.schema),
            embeddings[:_PARITY_ROWS],
        ),
    }
    return {
        "kind": "retriever",
        "query_features": _describe(retriever.query_tower.schema),
        "item_features": _describe(retriever.item_tower.schema),
        "dim": int(embeddings.shape[1]),
        "index": {"kind": recipe.export.index},
        "parity": _parity(differences, recipe.export.tolerance, len(queries)),
    }


def _export_ranker(data: Processed, ranker: Ranker, recipe: Recipe, out: Path) -> dict[str, Any]:
    """Write the ranker; return what the manifest tells of it."""
    queries = data.users.select(ranker.query_schema.column_names)
    items = data.items.select(ranker.item_schema.column_names)
    save_signature(ranker.model, ranker.schema, out / "ranker", "score")
    rng = np.random.default_rng(0)
    users = queries[rng.integers(0, len(queries), _PARITY_ROWS)]
    shown = items[rng.integers(0, len(items), _PARITY_ROWS)]
    live = ranker.score(users, shown)
    if not np.isfinite(live).all():
        raise _not_finite("scores")
    pairs = {**to_batch(users, ranker.query_schema), **to_batch(shown, ranker.item_schema)}
    differences = {"ranker": _difference(out / "ranker", pairs, live)}
    return {
        "kind": "ranker",
        "query_features": _describe(ranker.query_schema),
        "item_features": _describe(ranker.item_schema),
        "parity": _parity(differences, recipe.export.tolerance, len(users)),
    }


def save_signature(model: Any, schema: Schema, path: Path, output: str) -> None:
    """Write a tower or a ranker as a SavedModel that needs neither Keras nor Merlin to load.

    Its signature ``serving_default`` takes each feature by name: shape ``(rows,)`` int32 or
    float32; a list as ``<name>__values`` ``(values,)`` and ``<name>__offsets`` ``(rows + 1,)``
    int32. It returns `output`, float32: ``(rows, dim)`` of a tower, ``(rows,)`` of a ranker.
    """

    @tf.function  # type: ignore[untyped-decorator]
    def serve(**features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: tf.cast(model(features, training=False), tf.float32)}

    named = {n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in tensor_specs(schema).items()}
    module = tf.Module()
    # The weights alone: Keras' and Merlin's own objects would have to be importable to load.
    module.weights = model.variables
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function(**named))


def _describe(schema: Schema) -> dict[str, Any]:
    """Return name to type, list or not, and number of ids, of a tower's inputs."""
    return {
        column.name: {
            "dtype": column.dtype.name,
            "list": bool(column.is_list),
            "ids": int(column.int_domain.max) + 1 if column.int_domain else None,
        }
        for column in schema
    }


def _embedding_table(ids: pl.Series, embeddings: NDArray[np.float32]) -> pl.DataFrame:
    columns = {str(i): embeddings[:, i] for i in range(embeddings.shape[1])}
    return pl.DataFrame({ITEM_ID: ids, **columns})


def _difference(path: Path, batch: Mapping[str, Any], live: NDArray[np.float32]) -> float:
    """Return how far a reloaded signature is from the live model, at most."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    (loaded,) = serve(**as_tensors(batch)).values()
    return float(np.abs(loaded.numpy() - live).max())


def _parity(differences: Mapping[str, float], tolerance: float, rows: int) -> dict[str, Any]:
    """Return what the manifest tells of them, and refuse a reloaded model that differs."""
    for name, difference in differences.items():
        if not difference <= tolerance:
            raise BundleError(
                f"The reloaded {name} differs from the trained one by {difference:.3g}; "
                f"`export.tolerance` allows {tolerance:g}. Nothing was published."
            )
    return {"max_abs_difference": dict(differences), "tolerance": tolerance, "rows": rows}


def _not_finite(what: str) -> BundleError:
    return BundleError(
        f"Expected finite {what}; found NaN or infinity. Train again with a lower "
        "`train.learning_rate`; nothing was published."
    )
