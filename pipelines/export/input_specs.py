"""What a bundle's manifest tells of its models' inputs: their types, and how each is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import nvtabular as nvt
import polars as pl
from merlin.dag.node import iter_nodes
from merlin.schema import ColumnSchema, Schema

from towermill.columns import HISTORY, ITEM_ID, USER_ID
from towermill.features import Feature
from towermill.workflows.graph.workflow import Workflow

CATEGORIES: Final = "workflow/categories"
_TYPES = {pl.String: "string", pl.Boolean: "int64"}


def describe_inputs(schema: Schema, bundle: Path, features: dict[str, Feature]) -> dict[str, Any]:
    """Return name to what a tower takes and how it is made of raw values.

    Parameters
    ----------
    schema
        The tower's inputs.
    bundle
        The folder with the fitted ``workflow``.
    features
        What the recipe says of the columns; ids and histories are not among them.

    Returns
    -------
    dict
        Of each input ``dtype``, ``list``, ``ids`` (number of encoded ids, None of a number), and
        ``raw``: its ``kind`` (that of the feature; ``encoded`` if it cannot be made of a raw value,
        and ``why``); of a category ``vocabulary`` (a file of the bundle; row i is encoded as
        i + 3), ``type`` (string or int64) and ``ids_of`` (the id whose vocabulary it is);
        ``missing``, what stands for none where a null cannot (empty text or the least int64, or
        what is next to it where training had that); ``max_length``, ``boundaries``, ``log``,
        ``mean``, ``std``.
    """
    workflow = Workflow.load(bundle / "workflow")
    moments: dict[str, tuple[float, float]] = {}
    for op in _operators(workflow):
        if isinstance(op, nvt.ops.Normalize):
            moments |= {name: (op.means[name], op.stds[name]) for name in op.means}
    # The folder in which they were fitted is gone; their names stay.
    files = {
        column.name: bundle / CATEGORIES / Path(str(column.properties["cat_path"])).name
        for column in workflow.output_schema
        if "cat_path" in column.properties
    }
    return {
        column.name: {
            "dtype": column.dtype.name,
            "list": bool(column.is_list),
            "ids": int(column.int_domain.max) + 1 if column.int_domain else None,
            "raw": _raw(column, features.get(column.name), moments, files),
        }
        for column in schema
    }


def _operators(workflow: nvt.Workflow) -> Iterator[Any]:
    for node in iter_nodes([workflow.output_node], flatten_subgraphs=True):
        yield node.op


def _raw(
    column: ColumnSchema,
    feature: Feature | None,
    moments: dict[str, tuple[float, float]],
    files: dict[str, Path],
) -> dict[str, Any]:
    name = column.name
    if feature is None:
        if name not in (USER_ID, ITEM_ID, HISTORY):
            return _encoded("it is made of more than one value, such as a text")
        feature = Feature(kind="list" if name == HISTORY else "category")
    if feature.num_buckets:
        return _encoded("what its vocabulary lacks is hashed (`num_buckets`)")
    kind = "category" if feature.kind == "list" else feature.kind
    raw: dict[str, Any] = {"kind": kind}
    if kind in ("number", "age"):
        raw["boundaries"] = None if feature.boundaries is None else list(feature.boundaries)
    if not feature.is_category:
        mean, std = moments.get(name, (None, None))
        return raw | {"log": feature.log, "mean": _plain(mean), "std": _plain(std)}
    values = pl.read_parquet_schema(files[name])
    stored = next(c for c in values if f"{c}_size" in values)
    kind_of = values[stored]
    # Intervals and hours are whole, in a column of floats where one is missing.
    whole = kind_of.is_integer() or feature.kind not in ("category", "list")
    known = "int64" if whole else _TYPES.get(kind_of.base_type())
    if known is None:
        return _encoded(f"its values are of the type {kind_of}")
    owners = {USER_ID: USER_ID, ITEM_ID: ITEM_ID, HISTORY: ITEM_ID}
    raw["missing"] = _missing(pl.read_parquet(files[name], columns=[stored])[stored], known)
    return raw | {
        "vocabulary": f"{CATEGORIES}/{files[name].name}",
        "type": known,
        "ids_of": owners.get(name) or owners.get(str(feature.shared_with)),
        "max_length": feature.max_length,
    }


def _missing(values: pl.Series, kind: str) -> str | int:
    """Return the first of the values for none that the vocabulary does not hold."""
    count = len(values) + 1
    least = int(np.iinfo(np.int64).min)
    texts, numbers = ("\0" * i for i in range(count)), (least + i for i in range(count))
    near = (
        values.str.strip_chars("\0") == "" if kind == "string" else values.cast(pl.Int64) < -(2**62)
    )
    held = set(values.filter(near))
    return next(value for value in (texts if kind == "string" else numbers) if value not in held)


def _encoded(why: str) -> dict[str, Any]:
    return {"kind": "encoded", "why": why}


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)
