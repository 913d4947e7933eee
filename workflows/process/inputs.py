"""Raw columns as NVTabular reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import Entity
from towermill.errors import DataError, did_you_mean
from towermill.features.config import Features


def typed(frame: pl.LazyFrame, features: Features, entity: Entity) -> pl.LazyFrame:
    """Check that each column can be of its feature's kind; cut text of kind ``list``."""
    types, columns = frame.collect_schema(), []
    for name, feature in features.items():
        encoder = feature.encoder
        if name in types and encoder.from_column:
            columns.append(encoder.cast(frame, name, feature, f"features.{entity}"))
    return frame.with_columns(columns)


def filled(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Make missing lists empty: Categorify takes no null ones."""
    lists = {n: kind for n, kind in frame.collect_schema().items() if isinstance(kind, pl.List)}
    return frame.with_columns(pl.col(n).fill_null(pl.lit([], kind)) for n, kind in lists.items())


def with_columns(frame: pl.LazyFrame, types: Mapping[str, Any]) -> pl.LazyFrame:
    """Add a column of nulls for each of `types` that `frame` lacks."""
    held = frame.collect_schema()
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in types.items() if name not in held
    )


def lacks_column(entity: Entity, name: str, held: Sequence[str]) -> DataError:
    """Return the error of a feature whose column its table lacks."""
    return DataError(
        f"`features.{entity}` names the column {name!r}, which the {entity} table lacks."
        f"{did_you_mean(name, held)} It has: {', '.join(held) or 'no columns at all'}."
    )


def require_values(fit: Path, features: Mapping[Entity, Features]) -> None:
    """Refuse categories and lists without a value in training: there is no vocabulary to make."""
    frame = pl.scan_parquet(fit)
    types = frame.collect_schema()
    kinds = {n: f for named in features.values() for n, f in named.items() if f.is_category}
    counts = frame.select(
        (
            pl.col(n).list.drop_nulls().list.len().sum()
            if isinstance(types[n], pl.List)
            else pl.col(n).count()
        ).alias(n)
        for n in kinds
        if n in types
    ).collect(engine="streaming")
    if empty := [n for n in counts.columns if not counts[n].item()]:
        raise DataError(
            f"The feature {empty[0]!r} should have values; in the training split it has none. Look "
            "at the column, and at whether the ids of its table are those of the log, or leave "
            "the feature out."
        )
