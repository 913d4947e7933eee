"""The inputs of a bundle's models, and how each is made from raw values."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl
from merlin.schema import Schema

from towermill.columns import HISTORY, ITEM_ID, USER_ID
from towermill.features.base import Fitted, taken_encoded
from towermill.features.config import Feature
from towermill.features.inputs import ModelInput, RawEncoding
from towermill.workflows.graph.state import CATEGORIES, WorkflowState

WORKFLOW: Final = "workflow"
#: Inputs that are features without a recipe's saying so.
_IDS: Final = {USER_ID: Feature(), ITEM_ID: Feature(), HISTORY: Feature(kind="list")}


def describe_inputs(
    schema: Schema, bundle: Path, features: dict[str, Feature]
) -> dict[str, ModelInput]:
    """Return the inputs of a tower, and how each is made from raw values.

    Parameters
    ----------
    schema
        The tower's inputs.
    bundle
        The folder with the fitted ``workflow``.
    features
        The recipe's features; ids and histories are not among them.
    """
    state = WorkflowState.read(bundle / WORKFLOW)
    moments = {n: (op.means[n], op.stds[n]) for op in state.moments for n in op.means}
    files = {n: f"{WORKFLOW}/{CATEGORIES}/{file}" for n, file in state.vocabularies.items()}
    # Of interactions, the workflow makes no histories: they are lists of the items' ids.
    files.setdefault(HISTORY, files[ITEM_ID])

    def raw(name: str) -> RawEncoding:
        feature = features.get(name) or _IDS.get(name)
        if feature is None:
            return taken_encoded("it is made of more than one value, such as a text")
        vocabulary = files[name] if feature.is_category else None
        values = None if vocabulary is None else _values(bundle / vocabulary)
        return feature.encoder.describe(
            feature, Fitted(name, vocabulary, values, *moments.get(name, (None, None)))
        )

    return {
        column.name: ModelInput(
            column.dtype.name,
            bool(column.is_list),
            int(column.int_domain.max) + 1 if column.int_domain else None,
            raw(column.name),
        )
        for column in schema
    }


def _values(path: Path) -> pl.Series:
    """Return the values of a vocabulary."""
    names = pl.read_parquet_schema(path)
    stored = next(name for name in names if f"{name}_size" in names)
    return pl.read_parquet(path, columns=[stored])[stored]
