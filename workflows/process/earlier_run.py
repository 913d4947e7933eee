"""What processing goes on from: the ids, features and training rows of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from merlin.schema import Schema
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata

from towermill.columns import (
    ID_OF,
    INVIEW,
    ITEM_ID,
    PUBLISHED,
    RAW_PREFIX,
    TRAIN_ROWS,
    USER_ID,
    VECTOR,
    Entity,
)
from towermill.errors import DataError, RecipeError
from towermill.features.config import Features
from towermill.workflows.config import described
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.process.interaction_inputs import typed
from towermill.workflows.tables import ImpressionTables, Tables, row_count

#: Of a draw of training rows: all that it depends on beside their number.
_SEED = 0


class Earlier:
    """The processed data of the run that is continued.

    Parameters
    ----------
    path
        Its folder, as `process` or `process_impressions` wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def stats(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = json.loads((self.path / "stats.json").read_text())
        return found

    @cached_property
    def workflow(self) -> Workflow:
        """The fitted workflow."""
        return Workflow.load(self.path / "workflow")

    @property
    def as_of(self) -> datetime | None:
        """The moment of its last row."""
        found = self.stats["as_of"]
        return None if found is None else datetime.fromisoformat(found)

    def known(self, entity: Entity) -> pl.LazyFrame:
        """Return the raw ids of its users or items."""
        key = ID_OF[entity]
        return self.table(entity).select(pl.col(RAW_PREFIX + key).alias(key))

    def table(self, entity: Entity) -> pl.LazyFrame:
        """Return its users or items, by encoded id."""
        return pl.scan_parquet(self.path / f"{entity}s.parquet")

    def require_same(self, columns: Mapping[Entity, Features], log: pl.LazyFrame) -> None:
        """Refuse features and ids that are not those that its model was made for.

        Raises
        ------
        RecipeError
            Features differ, by name, kind, options or order.
        DataError
            Ids are of another type.
        """
        if "columns" not in self.stats:
            raise DataError(
                f"The run that is continued, {self.path}, should tell its features; it is of an "
                "older Towermill. Run it again, and continue that."
            )
        for entity, features in columns.items():
            before, now = self.stats["columns"].get(entity, {}), described(features)
            names = {*before, *now}
            if differing := sorted(n for n in names if before.get(n) != now.get(n)):
                raise RecipeError(
                    f"`features.{entity}` should be what it is in the run that is continued: "
                    f"{', '.join(before) or 'none'}. Not so: {', '.join(differing)}. Write the "
                    "section `features` so, or train anew."
                )
            if list(before) != list(now):
                raise RecipeError(
                    f"`features.{entity}` should stand in the order that it has in the run that is "
                    f"continued: {', '.join(before)}. Received: {', '.join(now)}."
                )
        types = dict(log.collect_schema())
        if INVIEW in types:
            types[ITEM_ID] = types[INVIEW].inner  # type: ignore[attr-defined]
        for entity, key in ID_OF.items():
            kind = self.known(entity).collect_schema()[key]
            if key in types and types[key] != kind:
                raise DataError(
                    f"The {entity}s' ids should be of type {kind}, as in the run that is "
                    f"continued. Their type is {types[key]}. Cast them in the raw data."
                )

    def completed(
        self, tables: Tables, columns: Mapping[Entity, Features], text: Sequence[str] = ()
    ) -> Tables:
        """Return the tables with the earlier features of users and items that they do not hold.

        `text` names columns of the items that are wanted beside the features, if they are there.
        """
        return replace(
            tables,
            users=self._over("user", tables.users, columns.get("user", {})),
            items=self._over("item", tables.items, columns.get("item", {}), text),
        )

    def _over(
        self, entity: Entity, table: pl.LazyFrame | None, own: Features, text: Sequence[str] = ()
    ) -> pl.LazyFrame | None:
        raw = _raw(self.table(entity))
        held = raw.collect_schema().names()
        beside = [name for name in text if name in held and name not in own]
        if not own and not beside:
            return table
        key = ID_OF[entity]
        before = raw.select(key, *own, *beside)
        if table is None:
            return before
        there = table.collect_schema().names()
        wanted = [name for name in beside if name in there]
        now = typed(table.select(key, *own, *wanted), own, entity)
        return _over(now, before, key)

    def completed_impressions(self, tables: ImpressionTables, given: bool) -> ImpressionTables:
        """Return the tables with the earlier articles that they do not hold.

        So with vectors, if those of articles are `given`, and not made of their text.
        """
        before = self.table("item")
        items = _raw(before)
        if items.collect_schema().names() == [ITEM_ID]:
            return tables
        held = before.collect_schema().names()
        if PUBLISHED in held:
            items = pl.concat([items, before.select(PUBLISHED)], how="horizontal")
        vectors = tables.vectors
        if given and VECTOR in held:
            had = before.select(
                pl.col(RAW_PREFIX + ITEM_ID).alias(ITEM_ID), pl.col(VECTOR).arr.to_list()
            )
            some = pl.col(VECTOR).list.eval(pl.element() != 0).list.any()
            vectors = _over(vectors, had.filter(some), ITEM_ID)
        return replace(tables, items=_over(tables.items, items, ITEM_ID), vectors=vectors)

    def widths(self, schema: Schema) -> Schema:
        """Return the schema with the sizes by which the earlier model's tables were made wide."""
        before = TensorflowMetadata.from_proto_text_file(str(self.path)).to_merlin_schema()
        sizes = {c.name: c.properties.get("embedding_sizes") for c in before}
        columns = []
        for column in schema:
            if found := sizes.get(column.name):
                column = column.with_properties({"embedding_sizes": found})
            columns.append(column)
        return Schema(columns)

    def train_rows(self) -> pl.DataFrame:
        """Return how many training rows each encoded item has had, as ``train_rows``."""
        items = self.table("item")
        if TRAIN_ROWS in items.collect_schema().names():
            return items.select(ITEM_ID, TRAIN_ROWS).collect()
        return counted_rows(self.path / "train")

    def sample(self, rows: int) -> pl.DataFrame:
        """Return at most so many of its training rows, drawn without replacement."""
        train = pl.scan_parquet(self.path / "train" / "*.parquet")
        total = row_count(train)
        drawn = np.random.default_rng(_SEED).choice(total, min(rows, total), replace=False)
        chosen = pl.DataFrame({"__row": np.sort(drawn).astype(np.uint32)}).lazy()
        numbered = train.with_row_index("__row").join(chosen, on="__row", how="semi")
        return numbered.collect(engine="streaming").sort("__row").drop("__row")


def counted_rows(train: Path) -> pl.DataFrame:
    """Return the rows of each encoded item in a folder of training rows, as ``train_rows``."""
    rows = pl.scan_parquet(train / "*.parquet").group_by(ITEM_ID)
    return rows.agg(pl.len().cast(pl.Int64).alias(TRAIN_ROWS)).collect(engine="streaming")


def seen_before(folder: Path) -> pl.LazyFrame:
    """Return the encoded (user, item) pairs that a processed data set calls seen."""
    lists = pl.scan_parquet(folder / "seen.parquet")
    return lists.explode(ITEM_ID, empty_as_null=False).select(USER_ID, ITEM_ID)


def _raw(table: pl.LazyFrame) -> pl.LazyFrame:
    """Return the raw columns under their own names."""
    held = [n for n in table.collect_schema().names() if n.startswith(RAW_PREFIX)]
    return table.select(pl.col(n).alias(n.removeprefix(RAW_PREFIX)) for n in held)


def _over(now: pl.LazyFrame | None, before: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """Return the rows of now, and of before those of ids that now does not have."""
    if now is None:
        return before
    kept = before.join(now.select(key), on=key, how="anti", maintain_order="left")
    return pl.concat([now, kept], how="diagonal_relaxed")
