"""The raw rows of each split, features and all, as NVTabular reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from towermill.columns import (
    COLD_ITEM,
    COLD_USER,
    EVENT_WEIGHT,
    ID_OF,
    ITEM_ID,
    USER_ID,
    Entity,
)
from towermill.features.config import Features
from towermill.workflows.process.inputs import filled, typed
from towermill.workflows.process.summary import RawSplits
from towermill.workflows.selecting.signals import Weights, weight_expr
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.tables import Tables, sink


def write_raw_splits(
    tables: Tables,
    features: Mapping[Entity, Features],
    config: Split,
    folder: Path,
    earlier: Mapping[str, pl.LazyFrame] | None = None,
    weights: Mapping[str, Weights] | None = None,
) -> RawSplits:
    """Join the side tables to each split's interactions and write them to ``<split>.parquet``.

    In streaming passes: memory grows with the distinct users and items, whose ids and features are
    held, not with the rows.

    Parameters
    ----------
    features
        For ``user``, ``item`` and ``context``: the columns that the workflow takes as features.
    folder
        Where the files, and meanwhile what the split needs, are written.
    earlier
        See `towermill.workflows.selecting.split.split`.
    weights
        Of the values of signals: `features.weights`.

    Raises
    ------
    DataError
        See `split`; or a column cannot be of its feature's kind.
    """
    users = _side(tables.users, "user", features.get("user", {}))
    items = _side(tables.items, "item", features.get("item", {}))
    paths = {}
    found = split(tables.interactions, config, folder, earlier)
    for name, frame in found.parts.items():
        for side, key in ((users, USER_ID), (items, ITEM_ID)):
            if side is not None:
                frame = frame.join(side, on=key, how="left", maintain_order="left")
        frame = typed(frame, features.get("context", {}), "context")
        frame = filled(frame)
        if weights:
            frame = frame.with_columns(weight_expr(weights).alias(EVENT_WEIGHT))
        if name == "train" and config.cold == "flag":
            # The workflow is fitted on this split and passes on only its columns.
            frame = frame.with_columns(pl.lit(False).alias(c) for c in (COLD_USER, COLD_ITEM))
        paths[name] = folder / f"{name}.parquet"
        sink(frame, paths[name])
    return RawSplits(paths, found.counts, found.dropped)


def _side(table: pl.LazyFrame | None, entity: Entity, features: Features) -> pl.LazyFrame | None:
    """Return the id and the features that the workflow takes."""
    wanted = {n: f for n, f in features.items() if f.encoder.is_input}
    if table is None or not wanted:
        return None
    return typed(table.select(ID_OF[entity], *wanted), wanted, entity)
