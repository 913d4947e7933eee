"""Check interactions and their features before any long work begins."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from towermill.columns import ITEM_ID, RESERVED, SPLIT, TIMESTAMP, USER_ID, Entity
from towermill.errors import DataError
from towermill.features.config import Features
from towermill.workflows.graph.build import require_timestamp
from towermill.workflows.process.inputs import lacks_column, typed
from towermill.workflows.selecting.signals import Wanted, require_signals, require_values
from towermill.workflows.tables import Tables


def check_columns(
    tables: Tables, features: Mapping[Entity, Features], positive: Mapping[str, Wanted]
) -> None:
    """Refuse features and signals that the tables lack, or whose names are taken."""
    frames = {"user": tables.users, "item": tables.items, "context": tables.interactions}
    interactions = tables.interactions.collect_schema().names()
    require_timestamp(features, interactions)
    for entity, named in features.items():
        frame = frames[entity]
        held = [] if frame is None else frame.collect_schema().names()
        for name, feature in named.items():
            if not feature.encoder.from_column:
                continue
            if name not in held:
                raise lacks_column(entity, name, held)
            if entity != "context" and name in interactions:
                raise DataError(
                    f"`features.{entity}` names the column {name!r}, which the interactions have "
                    "as well. Rename one of the two in the raw data."
                )
    taken = {USER_ID, ITEM_ID, TIMESTAMP, *(n for named in features.values() for n in named)}
    signals = [name for name in interactions if name not in taken]
    for name in signals:
        if (name in RESERVED and name != SPLIT) or name.startswith("__"):
            raise DataError(
                f"The interactions should not have a signal {name!r}: {', '.join(RESERVED)} and "
                "names that begin with '__' are reserved for Towermill. Give it another "
                "name in the source."
            )
    for name in positive:
        if name not in signals:
            raise DataError(
                f"`features.positive` should name signals that are not features. Received "
                f"{name!r}; the interactions have: {', '.join(signals) or 'none'}."
            )


def check_signals(
    interactions: pl.LazyFrame, keys: Mapping[str, Mapping[str, Wanted]], values: bool
) -> None:
    """Refuse conditions that do not suit their signals.

    Parameters
    ----------
    keys
        Key of the recipe to what it asks of signals.
    values
        Also refuse a listed value that no interaction has.
    """
    for key, wanted in keys.items():
        require_signals(interactions, wanted, key)
        if values:
            require_values(interactions, wanted, key)


def check_numbers(tables: Tables, features: Mapping[Entity, Features]) -> None:
    """Refuse what would make a whole feature infinite: infinities, and logs of -1 and below."""
    frames = {"user": tables.users, "item": tables.items, "context": tables.interactions}
    for entity, named in features.items():
        frame = frames[entity]
        numbers = {n: f for n, f in named.items() if f.encoder.raw_numbers}
        if frame is None or not numbers:
            continue
        columns = {n: pl.col(n).cast(pl.Float64) for n in numbers}
        bad = typed(frame, numbers, entity).select(
            (column.is_infinite() | (column.le(-1) if numbers[n].log else False)).sum()
            for n, column in columns.items()
        )
        for name, count in bad.collect(engine="streaming").row(0, named=True).items():
            if count:
                wanted = (
                    "finite numbers above -1, as it has `log`"
                    if numbers[name].log
                    else ("finite numbers")
                )
                raise DataError(
                    f"`features.{entity}.{name}` should hold {wanted}. In {count} rows it does "
                    "not. Fix them in the raw data, or make them null."
                )
