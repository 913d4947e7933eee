"""Any tabular data: the recipe says which file and column plays which part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, field_validator

from towermill.columns import ITEM_ID, RATING, SPLIT, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.features.config import Features
from towermill.features.shared.times import time_expr
from towermill.section import Section
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.reading.casting import id_expr, require
from towermill.workflows.sources.reading.files import file_format, find_files, scan
from towermill.workflows.tables import Tables


class InteractionsTable(Section):
    """Where the interactions are and which column is which.

    Parameters
    ----------
    path
        Parquet, CSV or TSV file, folder or glob.
    user_id, item_id
        Their columns.
    timestamp, rating
        Their columns, where there are any; a column named ``timestamp`` is found by itself.
    signals
        Further outcomes of an interaction, numbers or Booleans: a list of columns, or canonical
        name to column (``{click: was_clicked}``).
    split
        Column that says ``train``, ``validation`` or ``test``, for a split of kind ``given``.
    features
        Context columns and their features.
    """

    path: str
    user_id: str = USER_ID
    item_id: str = ITEM_ID
    timestamp: str | None = None
    rating: str | None = None
    signals: dict[str, str] = Field(default_factory=dict)
    split: str | None = None
    features: Features = Field(default_factory=dict)

    @field_validator("signals", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value


class ItemsTable(Section):
    """Where the items are: one row an id."""

    path: str
    item_id: str = ITEM_ID
    features: Features = Field(default_factory=dict)


class UsersTable(Section):
    """Where the users are: one row an id."""

    path: str
    user_id: str = USER_ID
    features: Features = Field(default_factory=dict)


class Table(SourceConfig):
    """Read interactions, items and users from Parquet, CSV or TSV under any column names.

    Of each table the columns that the recipe names are read, and no others. Feature columns keep
    their names. Where an id's type differs between tables (text here, integers there), that of the
    interactions counts. Which raw types a feature is read from: `towermill.features`.

    Parameters
    ----------
    interactions, items, users
        The tables; only the first is needed.
    """

    kind: str = "table"
    interactions: InteractionsTable
    items: ItemsTable | None = None
    users: UsersTable | None = None

    def files(self) -> list[Path]:
        """Return the files of all tables: interactions, items, users."""
        tables = {"interactions": self.interactions, "items": self.items, "users": self.users}
        return [
            file
            for name, table in tables.items()
            if table is not None
            for file in find_files(table.path, f"source.{name}.path")
        ]

    def read(self, scratch: Path) -> Tables:
        """Return the tables under canonical names; see `SourceConfig.read`."""
        del scratch  # nothing is written on the way
        spec = self.interactions
        what = "source.interactions"
        raw = _open(spec.path, what, spec.features, [spec.user_id, spec.item_id])
        roles = {USER_ID: spec.user_id, ITEM_ID: spec.item_id}
        timestamp = spec.timestamp
        if timestamp is None and TIMESTAMP in raw.collect_schema():
            timestamp = TIMESTAMP
        roles |= {TIMESTAMP: timestamp} if timestamp else {}
        roles |= {RATING: spec.rating} if spec.rating else {}
        roles |= {SPLIT: spec.split} if spec.split else {}
        taken = {**roles, **spec.signals}
        if doubled := set(roles) & set(spec.signals):
            raise DataError(
                f"`{what}.signals` should not name {', '.join(sorted(doubled))}: "
                "it has a key of its own."
            )
        require(raw, [*taken.values(), *spec.features], what)
        ids = {role: id_expr(raw, roles[role], what).alias(role) for role in (USER_ID, ITEM_ID)}
        columns = [*ids.values()]
        if timestamp:
            columns.append(time_expr(raw, timestamp, what).alias(TIMESTAMP))
        if spec.rating:
            columns.append(_number(raw, spec.rating, what).cast(pl.Float32).alias(RATING))
        if spec.split:
            columns.append(pl.col(spec.split).cast(pl.String).alias(SPLIT))
        columns += [_number(raw, col, what).alias(name) for name, col in spec.signals.items()]
        columns += _features(raw, spec.features, taken, what)
        interactions = raw.select(columns)

        schema = interactions.collect_schema()
        items = users = None
        if self.items is not None:
            items = _side(self.items, ITEM_ID, self.items.item_id, schema[ITEM_ID])
        if self.users is not None:
            users = _side(self.users, USER_ID, self.users.user_id, schema[USER_ID])
        return Tables(
            interactions=interactions,
            items=items,
            users=users,
            features={
                "user": dict(self.users.features) if self.users else {},
                "item": dict(self.items.features) if self.items else {},
                "context": dict(spec.features),
            },
        )


def _open(path: str, what: str, features: Features, ids: list[str]) -> pl.LazyFrame:
    # A list of which the first rows hold one number each would be inferred as numbers, and ids
    # with leading zeros would lose them.
    text = {name: pl.String for name, feature in features.items() if feature.encoder.reads_text}
    text |= dict.fromkeys(ids, pl.String)
    files = find_files(path, f"{what}.path")
    frame = scan(files, text)
    if file_format(files[0]) == "parquet":
        return frame
    return frame.with_columns(_integers_where_whole(frame, ids))


def _integers_where_whole(frame: pl.LazyFrame, ids: list[str]) -> list[pl.Expr]:
    """Return the text columns that are integers to the letter, as integers."""
    held = [name for name in ids if name in frame.collect_schema().names()]
    as_integers = {name: pl.col(name).cast(pl.Int64, strict=False) for name in held}
    same = [
        (pl.col(name).is_null() | (integer.cast(pl.String) == pl.col(name))).fill_null(False).all()
        & (pl.col(name).count() > 0)
        for name, integer in as_integers.items()
    ]
    whole = frame.select(same).collect(engine="streaming").row(0) if held else ()
    return [as_integers[name] for name, yes in zip(held, whole, strict=True) if yes]


def _number(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    kind = frame.collect_schema()[column]
    if kind == pl.Boolean:
        return pl.col(column).cast(pl.Int8)
    if kind.is_numeric():
        return pl.col(column)
    raise DataError(
        f"`{what}`: {column!r} should hold numbers or Booleans, as it is a signal. Its type is "
        f"{kind}."
    )


def _features(
    frame: pl.LazyFrame, features: Features, taken: dict[str, str], what: str
) -> list[pl.Expr]:
    columns = []
    for name, feature in features.items():
        if name in taken:
            if taken[name] != name:
                raise DataError(
                    f"`{what}.features` names the column {name!r}, but `{name}` is read from "
                    f"{taken[name]!r}. Rename the column in the file."
                )
            continue  # it is read already, under the same name
        columns.append(feature.encoder.cast(frame, name, feature, what).alias(name))
    return columns


def _side(spec: ItemsTable | UsersTable, role: str, column: str, kind: pl.DataType) -> pl.LazyFrame:
    what = "source.items" if role == ITEM_ID else "source.users"
    raw = _open(spec.path, what, spec.features, [column])
    require(raw, [column, *spec.features], what)
    ids = id_expr(raw, column, what).alias(role)
    frame = raw.select(ids, *_features(raw, spec.features, {role: column}, what))
    if frame.collect_schema()[role] == kind:
        return frame
    if kind == pl.Int64:
        # These ids are text: one that is no number could meet no interaction.
        bad = frame.filter(
            pl.col(role).is_not_null() & pl.col(role).cast(pl.Int64, strict=False).is_null()
        )
        example = bad.select(role).head(1).collect(engine="streaming")
        if example.height:
            raise DataError(
                f"`{what}`: {column!r} should hold integers, as the ids of the interactions are. "
                f"Received: {example.item()!r}."
            )
    return frame.with_columns(pl.col(role).cast(kind))
