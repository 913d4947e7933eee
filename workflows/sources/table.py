"""Any tabular data: the recipe says which file and column plays which part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

import polars as pl
from pydantic import Field, model_validator

from towermill.columns import ITEM_ID, RATING, SPLIT, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.features.config import Features, names_refused
from towermill.features.shared.times import time_expr
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.reading.files import find_files
from towermill.workflows.sources.reading.ids import in_type
from towermill.workflows.sources.reading.options import Declared, ReadingOptions
from towermill.workflows.sources.reading.raw_table import (
    RawTable,
    column_names,
    open_table,
    role_of,
)
from towermill.workflows.sources.reading.signals import number_expr, signal_expr
from towermill.workflows.sources.reading.text.text_types import Role
from towermill.workflows.sources.reading.values import require_values
from towermill.workflows.sources.sessions import cut_sessions, to_gap
from towermill.workflows.sources.table_sections import InteractionsTable, ItemsTable, UsersTable
from towermill.workflows.tables import Tables


class Table(SourceConfig, ReadingOptions):
    """Read interactions, items and users from Parquet, CSV, TSV or JSON lines under any names.

    Of each table the columns that the recipe names are read, and no others. Feature columns keep
    their names. Where an id's type differs between tables (text here, integers there), that of the
    interactions counts. Which raw types a feature is read from: `towermill.features`.

    A column of CSV or TSV, and text in JSON lines, is typed by what the recipe makes of it, and by
    all rows: ids and categories are integers if every row is an integer to the letter, else text;
    titles and lists are text; numbers and times are parsed, and a value that is none is refused.

    Parameters
    ----------
    interactions, items, users
        The tables; only the first is needed.
    types
        Columns, by their names in the files, to ``text``, ``integer`` (``007`` and ``7.0`` are 7)
        or ``number``: what they hold, where their looks do not decide.
    """

    kind: str = "table"
    interactions: InteractionsTable
    items: ItemsTable | None = None
    users: UsersTable | None = None
    types: dict[str, Declared] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Table:
        tables = (self.interactions, self.items, self.users)
        features = {n: f for table in tables if table for n, f in table.features.items()}
        if refused := names_refused(features):
            raise ValueError(refused)
        if self.users is not None and self.interactions.session_gap is not None:
            raise ValueError(
                "`source.users` should be left out with `source.interactions.session_gap`: each "
                "session becomes a user, and has no row there"
            )
        return self

    def reading_as_text(self, signals: Iterable[str]) -> Self:
        """Return the source with those of these signals that it has among its `text_signals`."""
        spec = self.interactions
        found = [name for name in signals if name in spec.signals]
        text = tuple(dict.fromkeys((*spec.text_signals, *found)))
        return self.model_copy(
            update={"interactions": spec.model_copy(update={"text_signals": text})}
        )

    def files(self) -> list[Path]:
        """Return the files of all tables: interactions, items, users."""
        tables = {"interactions": self.interactions, "items": self.items, "users": self.users}
        return [
            file
            for name, table in tables.items()
            if table is not None
            for file in find_files(
                table.path, f"source.{name}.path", (table.reading or self).format
            )
        ]

    def read(self, scratch: Path) -> Tables:
        """Return the tables under canonical names; see `SourceConfig.read`.

        Text files are parsed once, into `scratch`.
        """
        spec, what = self.interactions, "source.interactions"
        named: dict[str, Role] = {spec.user_id: "id", spec.item_id: "id"}
        named |= {spec.rating: "number"} if spec.rating else {}
        texts: dict[str, Declared] = {spec.signals[name]: "text" for name in spec.text_signals}
        declared = {**texts, **self.types}
        named |= {
            column: "text" if declared.get(column) == "text" else "number"
            for column in spec.signals.values()
        }
        named |= {spec.split: "text"} if spec.split else {}
        named |= {spec.timestamp: "time"} if spec.timestamp else {}
        opened = self._open(spec, what, named, scratch, optional={TIMESTAMP: "time"})
        raw = opened.frame
        timestamp = spec.timestamp or (TIMESTAMP if TIMESTAMP in raw.collect_schema() else None)
        roles = {USER_ID: spec.user_id, ITEM_ID: spec.item_id}
        roles |= {TIMESTAMP: timestamp} if timestamp else {}
        roles |= {RATING: spec.rating} if spec.rating else {}
        roles |= {SPLIT: spec.split} if spec.split else {}
        taken = {**roles, **spec.signals}
        if doubled := set(roles) & set(spec.signals):
            raise DataError(
                f"`{what}.signals` should not name {', '.join(sorted(doubled))}: "
                "it has a key of its own."
            )
        columns = [opened.id(roles[role]).alias(role) for role in (USER_ID, ITEM_ID)]
        if timestamp:
            columns.append(time_expr(raw, timestamp, what).alias(TIMESTAMP))
        if spec.rating:
            columns.append(number_expr(raw, spec.rating, what).cast(pl.Float32).alias(RATING))
        if spec.split:
            columns.append(pl.col(spec.split).cast(pl.String).alias(SPLIT))
        columns += [
            signal_expr(raw, column, what, declared.get(column)).alias(name)
            for name, column in spec.signals.items()
        ]
        columns += _features(raw, spec.features, taken, what)
        dropped = {"interactions": opened.dropped}
        sides: dict[str, pl.LazyFrame | None] = {ITEM_ID: None, USER_ID: None}
        for name, role, side in (("items", ITEM_ID, self.items), ("users", USER_ID, self.users)):
            if side is not None:
                sides[role], dropped[name] = self._side(side, role, scratch)
        interactions = raw.select(columns)
        if spec.session_gap is not None:
            interactions = cut_sessions(interactions, to_gap(spec.session_gap), scratch)
        interactions, sides = self._joined(interactions, sides, opened.is_text)
        return Tables(
            interactions=interactions,
            items=sides[ITEM_ID],
            users=sides[USER_ID],
            features={
                "user": _named(self.users.features) if self.users else {},
                "item": _named(self.items.features) if self.items else {},
                "context": _named(spec.features),
            },
            dropped={name: reasons for name, reasons in dropped.items() if reasons},
        )

    def _side(
        self, spec: ItemsTable | UsersTable, role: str, scratch: Path
    ) -> tuple[pl.LazyFrame, dict[str, int]]:
        """Return a side table, and the rows that were dropped from it."""
        what = "source.items" if role == ITEM_ID else "source.users"
        column = spec.item_id if isinstance(spec, ItemsTable) else spec.user_id
        opened = self._open(spec, what, {column: "id"}, scratch)
        features = _features(opened.frame, spec.features, {role: column}, what)
        return opened.frame.select(opened.id(column).alias(role), *features), opened.dropped

    def _joined(
        self,
        interactions: pl.LazyFrame,
        sides: dict[str, pl.LazyFrame | None],
        is_text: bool,
    ) -> tuple[pl.LazyFrame, dict[str, pl.LazyFrame | None]]:
        """Return the tables with each id in one type: that of the interactions, or text."""
        for role, side in sides.items():
            if side is None:
                continue
            kind = interactions.collect_schema()[role]
            if is_text and kind == pl.Int64 and side.collect_schema()[role] == pl.String:
                # Read from text, they were integers to the letter, and can be that text again.
                interactions = interactions.with_columns(pl.col(role).cast(pl.String))
                kind = pl.String()
            what = "source.items" if role == ITEM_ID else "source.users"
            sides[role] = in_type(side, role, kind, what)
        return interactions, sides

    def _open(
        self,
        spec: InteractionsTable | ItemsTable | UsersTable,
        what: str,
        named: dict[str, Role],
        scratch: Path,
        optional: dict[str, Role] | None = None,
    ) -> RawTable:
        """Open the columns of a table that the recipe names, and those `optional` that it has."""
        options = spec.reading or self
        files = find_files(spec.path, f"{what}.path", options.format)
        held = column_names(files, options)
        roles = {**named}
        for name, feature in spec.features.items():
            # What is made from the timestamp need have no column.
            column = feature.column or name
            if feature.encoder.from_column or column in held:
                roles.setdefault(column, role_of(feature))
        for name, role in (optional or {}).items():
            if name in held:
                roles.setdefault(name, role)
        table = open_table(files, what, options, self.types, roles, held, scratch)
        columns = {name: f.column for name, f in spec.features.items() if f.column}
        if clash := sorted(columns.keys() & roles.keys()):
            raise DataError(
                f"`{what}.features.{clash[0]}` is read from {columns[clash[0]]!r}, and the column "
                f"{clash[0]!r} is read, too. Give the feature another name."
            )
        renamed = [pl.col(column).alias(name) for name, column in columns.items()]
        return replace(table, frame=table.frame.with_columns(renamed))


def _named(features: Features) -> Features:
    """Return features whose columns have been given their names."""
    return {name: feature.model_copy(update={"column": None}) for name, feature in features.items()}


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
        if name in frame.collect_schema():
            columns.append(feature.encoder.cast(frame, name, feature, what).alias(name))
    require_values(frame, features, what)
    return columns
