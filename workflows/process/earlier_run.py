"""The run being continued: its ids, features and training rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from towermill.columns import ID_OF, INVIEW, ITEM_ID, RAW_PREFIX, USER_ID, Entity
from towermill.errors import DataError, RecipeError
from towermill.features.config import Features
from towermill.processed import ProcessedFolder, Stats
from towermill.workflows.tables import row_count

#: Seed of the draw of training rows, which also depends on their number.
_SEED = 0


class Earlier:
    """The processed data of the run that is continued.

    Parameters
    ----------
    path
        Its folder, as `process` wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, ProcessedFolder(path)

    @cached_property
    def stats(self) -> Stats:
        """Its statistics."""
        return Stats.read(self.folder)

    @property
    def as_of(self) -> datetime | None:
        """The moment of its last row."""
        return self.stats.as_of

    def known(self, entity: Entity) -> pl.LazyFrame:
        """Return the raw ids of its users or items."""
        return self.raw(entity).select(ID_OF[entity])

    def table(self, entity: Entity) -> pl.LazyFrame:
        """Return its users or items, by encoded id."""
        return pl.scan_parquet(self.folder.table(entity))

    def raw(self, entity: Entity) -> pl.LazyFrame:
        """Return the raw columns of its users or items, under their own names."""
        table = self.table(entity)
        held = [n for n in table.collect_schema().names() if n.startswith(RAW_PREFIX)]
        return table.select(pl.col(n).alias(n.removeprefix(RAW_PREFIX)) for n in held)

    @property
    def seen(self) -> pl.LazyFrame:
        """Encoded (user, item) pairs that it calls seen."""
        lists = pl.scan_parquet(self.folder.seen)
        return lists.explode(ITEM_ID, empty_as_null=False).select(USER_ID, ITEM_ID)

    def require_same(self, columns: Mapping[Entity, Features], log: pl.LazyFrame) -> None:
        """Refuse features and ids that are not those that its model was made for.

        Raises
        ------
        RecipeError
            Features differ, by name, kind, options or order.
        DataError
            Ids are of another type, or the run is of another version of Towermill.
        """
        for entity, now in columns.items():
            before = self.stats.columns.get(entity, {})
            names = {*before, *now}
            if differing := sorted(n for n in names if before.get(n) != now.get(n)):
                raise RecipeError(
                    f"`features.{entity}` must match the continued run: "
                    f"{', '.join(before) or 'none'}. Differences: {', '.join(differing)}. Set "
                    "them back, or retrain from scratch."
                )
            if list(before) != list(now):
                raise RecipeError(
                    f"`features.{entity}` should be in the order of the run that is continued: "
                    f"{', '.join(before)}. Received: {', '.join(now)}."
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

    def sample(self, rows: int) -> pl.DataFrame:
        """Return at most `rows` of its training rows, drawn without replacement."""
        train = pl.scan_parquet(self.folder.split("train") / "*.parquet")
        total = row_count(train)
        drawn = np.random.default_rng(_SEED).choice(total, min(rows, total), replace=False)
        chosen = pl.DataFrame({"__row": np.sort(drawn).astype(np.uint32)}).lazy()
        numbered = train.with_row_index("__row").join(chosen, on="__row", how="semi")
        return numbered.collect(engine="streaming").sort("__row").drop("__row")


def over(now: pl.LazyFrame | None, before: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """Return the rows of `now`, and those of `before` whose id `now` lacks."""
    if now is None:
        return before
    kept = before.join(now.select(key), on=key, how="anti", maintain_order="left")
    return pl.concat([now, kept], how="diagonal_relaxed")
