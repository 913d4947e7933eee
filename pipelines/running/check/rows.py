"""How many rows each filter keeps, which rows are repeated, and what joins the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import ITEM_ID, TIMESTAMP, USER_ID
from towermill.pipelines.running.check.findings import Finding, Level, graded
from towermill.processed import Summary


def rows(prepared: Mapping[str, Any], summary: Summary) -> Iterator[Finding]:
    """Yield the rows used, and each reason for which others were dropped."""
    read = max(prepared["read"], 1)
    yield Finding(
        graded(1 - summary.rows / read, 0.2, 0.5),
        "rows",
        f"{summary.rows:,} of {read:,} are used ({summary.rows / read:.1%})",
        "the reasons below say which filter or split drops the others",
    )
    for where, reasons in (prepared["dropped"] | summary.dropped).items():
        for reason, count in reasons.items():
            yield Finding(
                graded(count / read, 0.1, 0.4),
                f"dropped, {where}",
                f"{count:,} rows ({count / read:.1%}): {reason}",
                "change the filter or the split if these rows matter",
            )
    for table, share in prepared["matched"].items():
        yield Finding(
            graded(1 - share, 0.05, 0.5),
            f"table {table}",
            f"{share:.1%} of the rows find theirs",
            "compare how the ids are written in both tables (types, `normalize_ids`)",
        )


def repeated(file: Path) -> Iterator[Finding]:
    """Yield the share of interactions that repeat a pair, and of those alike in all columns."""
    pair = [USER_ID, ITEM_ID]
    table = pl.scan_parquet(file)
    names = table.collect_schema().names()
    if not set(pair) <= set(names):
        return
    counted = table.select(
        pl.len().alias("rows"),
        pl.struct(pair).n_unique().alias("pairs"),
        pl.struct([*pair, *(n for n in names if n == TIMESTAMP)]).n_unique().alias("moments"),
    ).collect(engine="streaming")
    count, pairs, moments = counted.row(0)
    if not count:
        return
    if TIMESTAMP in names:
        share = 1 - moments / count
        yield Finding(
            graded(share, 0.01, 0.2),
            "duplicates",
            f"{share:.1%} of the rows repeat a user, an item and a time",
            "an export that was made twice? Remove them, or `filters: {deduplicate: last}`",
        )
    share = 1 - pairs / count
    yield Finding(
        Level.LOOK if share >= 0.05 else Level.OK,
        "repetitions",
        f"{share:.1%} of the rows repeat a user and an item",
        "items that a user has seen are not recommended to them, and count as no answer",
    )
