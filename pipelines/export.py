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
        An embedding is not finite, or a reloaded tower differs from the trained one by more than
        `export.tolerance`.
    """
    data, retriever = load_model(inputs["process"], inputs["train"], recipe.model, spread)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    query_schema, item_schema = retriever.query_tower.schema, retriever.item_tower.schema
    # First: a query tower may hold the vectors of the items.
    embeddings = retriever.embed_items(data.items)
    retriever.embed_queries(data.query_sample(1))
    save_tower(retriever.query_tower, query_schema, out / "query_tower")
    save_tower(retriever.item_tower, item_schema, out / "item_tower")
    for folder in ("workflow", "text"):
        if (data.path / folder).is_dir():
            shutil.copytree(data.path / folder, out / folder)
    data.users.write_parquet(out / "user_features.parquet")
    data.items.write_parquet(out / "item_features.parquet")
    shutil.copy(data.path / "seen.parquet", out / "seen_items.parquet")
    _embedding_table(data.items[ITEM_ID], embeddings).write_parquet(out / "item_embeddings.parquet")
    parity = _parity(data, retriever, embeddings, out, recipe.export.tolerance)
    metrics = json.loads((inputs["evaluate"] / "metrics.json").read_text())
    stats = json.loads((data.path / "stats.json").read_text())
    manifest = {
        "format": FORMAT,
        "towermill": __version__,
        "packages": package_versions(_PACKAGES),
        # Where it ran and how it is tried out are left out: they decide nothing of the bundle.
        "recipe": recipe.model_dump(
            mode="json",
            exclude={"runtime": set(RuntimeConfig.model_fields) - {"seed"}, "simulate": True},
        ),
        "ids": {"padding": PADDING_ID, "null": NULL_ID, "unknown": OOV_ID, "first": FIRST_ID},
        "query_features": _describe(query_schema),
        "item_features": _describe(item_schema),
        "item_columns": stats["item_columns"],
        "as_of": stats["as_of"],
        "title": stats["title"],
        "dim": int(embeddings.shape[1]),
        "index": {"kind": recipe.export.index},
        "rows": {"users": data.users.height, "items": data.items.height},
        "parity": parity,
        "metrics": metrics,
        "files": {
            str(path.relative_to(out)): file_digest(path)
            for path in sorted(out.rglob("*"))
            if path.is_file()
        },
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, default=str))


def save_tower(tower: Any, schema: Schema, path: Path) -> None:
    """Write a tower as a SavedModel that needs neither Keras nor Merlin to load.

    Its signature ``serving_default`` takes each feature by name: shape ``(rows,)`` int32 or
    float32; a list as ``<name>__values`` ``(values,)`` and ``<name>__offsets`` ``(rows + 1,)``
    int32. It returns ``embedding``, ``(rows, dim)`` float32.
    """

    @tf.function  # type: ignore[untyped-decorator]
    def embed(**features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": tf.cast(tower(features, training=False), tf.float32)}

    named = {n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in tensor_specs(schema).items()}
    module = tf.Module()
    # The weights alone: Keras' and Merlin's own objects would have to be importable to load.
    module.weights = tower.variables
    tf.saved_model.save(module, str(path), signatures=embed.get_concrete_function(**named))


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


def _parity(
    data: Processed,
    retriever: Retriever,
    items: NDArray[np.float32],
    out: Path,
    tolerance: float,
) -> dict[str, Any]:
    """Hold the reloaded towers against the live ones, and refuse what is wrong."""
    if not np.isfinite(items).all():
        raise BundleError(
            "Expected finite item embeddings; found NaN or infinity. Train again with a lower "
            "`train.learning_rate`; nothing was published."
        )
    held = data.query_sample(_PARITY_ROWS)
    sample = data.items.head(_PARITY_ROWS)
    differences = {}
    for name, schema, rows, live in (
        ("query_tower", retriever.query_tower.schema, held, retriever.embed_queries(held)),
        ("item_tower", retriever.item_tower.schema, sample, items[:_PARITY_ROWS]),
    ):
        serve = tf.saved_model.load(str(out / name)).signatures["serving_default"]
        loaded = serve(**as_tensors(to_batch(rows, schema)))["embedding"].numpy()
        differences[name] = float(np.abs(loaded - live).max())
        if not differences[name] <= tolerance:
            raise BundleError(
                f"The reloaded {name} differs from the trained one by {differences[name]:.3g}; "
                f"`export.tolerance` allows {tolerance:g}. Nothing was published."
            )
    return {"max_abs_difference": differences, "tolerance": tolerance, "rows": len(held)}
