"""The queries of the catalogue protocol: what is ranked for, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from towermill.columns import COLD_USER, FIRST_ID, HISTORY, ITEM_ID, USER_ID
from towermill.models.data.lists import Lists

if TYPE_CHECKING:
    from towermill.models.data.interactions import Processed


@dataclass(frozen=True)
class Queries:
    """The queries of the catalogue protocol.

    Attributes
    ----------
    features
        Raw model inputs of the query tower, one row a query.
    relevant, seen
        Positions in `Processed.catalogue`: held-out items, and those to leave out of the ranking.
    total
        Queries of which these are the sample, or all.
    cold, repeated
        Held-out rows left out because their item is not in the catalogue, or because `seen` holds
        it (what may not be recommended cannot be an answer).
    """

    features: pl.DataFrame
    relevant: Lists
    seen: Lists | None
    total: int
    cold: int
    repeated: int

    def __len__(self) -> int:
        return self.features.height


def queries_of(
    data: Processed,
    split: Literal["validation", "test"],
    by: Literal["user", "interaction"],
    filter_seen: bool,
    segment: Literal["all", "warm", "cold_user"],
    limit: int,
) -> Queries:
    """Return the queries of a held-out split: see `Processed.queries`."""
    held = data.scan(split).collect()
    if segment != "all":
        held = held.filter(pl.col(COLD_USER) == (segment == "cold_user"))
    known = held.filter(pl.col(ITEM_ID) >= FIRST_ID)
    seen = data.seen(split) if filter_seen else None
    new = known if seen is None else known.join(seen, on=[USER_ID, ITEM_ID], how="anti")
    new = new.with_row_index("__row")
    # Unknown users share the out-of-vocabulary id, so each of their rows is a query.
    alone = pl.lit(by == "interaction") | (pl.col(USER_ID) < FIRST_ID)
    new = new.with_columns(
        __key=pl.when(alone).then(-1 - pl.col("__row").cast(pl.Int64)).otherwise(pl.col(USER_ID))
    )
    first = new.unique("__key", keep="first", maintain_order=True)
    total = first.height
    if 0 < limit < total:
        sample = np.random.default_rng(0).choice(total, limit, replace=False)
        first = first[np.sort(sample)]
    first = first.with_columns(__query=pl.int_range(pl.len()))
    rows = new.join(first.select("__key", "__query"), on="__key")
    relevant = Lists.from_pairs(
        rows["__query"].to_numpy(), data.positions(rows[ITEM_ID]), first.height
    )
    excluded = None
    if seen is not None:
        pairs = seen.join(first.select(USER_ID, "__query"), on=USER_ID)
        excluded = Lists.from_pairs(
            pairs["__query"].to_numpy(), data.positions(pairs[ITEM_ID]), first.height
        )
    names = dict.fromkeys(data.query_schema.column_names)
    if HISTORY in first.columns:
        names[HISTORY] = None
    features = data.with_history(first.select(*names), split)
    return Queries(
        features=features,
        relevant=relevant,
        seen=excluded,
        total=total,
        cold=held.height - known.height,
        repeated=known.height - new.height,
    )
