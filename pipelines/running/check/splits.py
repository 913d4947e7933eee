"""The splits: ids without training rows, rows that two splits share, and their order in time."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from towermill.columns import ITEM_ID, USER_ID
from towermill.pipelines.running.check.findings import Finding, Level, graded
from towermill.processed import ProcessedFolder, Summary

#: What each split is tested against.
_EARLIER = {"validation": ("train",), "test": ("train", "validation")}


def cold(summary: Summary) -> Iterator[Finding]:
    """Yield the share of each split's rows whose user or item has no training row."""
    for name in _EARLIER:
        split = summary.splits.get(name)
        if split is None:
            continue
        rows = max(split.assigned_rows, 1)
        if not split.rows:
            yield Finding(Level.ALARM, name, "no rows", "give the split a larger share")
            continue
        for entity, count in (("user", split.cold_users), ("item", split.cold_items)):
            yield Finding(
                graded(count / rows, 0.2, 0.5),
                f"{name}, new {entity}s",
                f"{count / rows:.1%} of the rows are of {entity}s without training rows",
                "without features of them, no model can tell these apart; see `split.cold`",
            )


def shared(folder: ProcessedFolder) -> Iterator[Finding]:
    """Yield the share of each split's pairs of user and item that an earlier split has too."""
    pair = [USER_ID, ITEM_ID]
    pairs = {}
    for name in ("train", *_EARLIER):
        rows = scan(folder, name)
        if rows is not None and set(pair) <= set(rows.collect_schema().names()):
            pairs[name] = rows.select(pair).unique()
    for name, earlier in _EARLIER.items():
        if name not in pairs or "train" not in pairs:
            continue
        before = pl.concat([pairs[e] for e in earlier if e in pairs]).unique()
        both = pairs[name].join(before, on=pair, how="semi").select(pl.len())
        count, common = (
            frame.collect(engine="streaming").item()
            for frame in (pairs[name].select(pl.len()), both)
        )
        share = common / max(count, 1)
        yield Finding(
            graded(share, 0.1, 0.9),
            f"{name}, shared pairs",
            f"{share:.1%} of its pairs of user and item are in an earlier split too",
            "a query's own items are not ranked, so these are no answers; "
            "`filters: {deduplicate: first}` leaves one row a pair",
        )


def order(summary: Summary) -> Iterator[Finding]:
    """Yield whether training has rows later than the first test row."""
    train, test = (summary.splits.get(name) for name in ("train", "test"))
    if train is None or test is None or train.last is None or test.first is None:
        return
    later = train.last > test.first
    yield Finding(
        Level.LOOK if later else Level.OK,
        "time",
        f"training ends {train.last:%Y-%m-%d %H:%M}, test begins {test.first:%Y-%m-%d %H:%M}",
        "training knows what came after a test row: metrics are higher than a recommender's of "
        "tomorrow. `split: {kind: time}` tests on later rows",
    )


def scan(folder: ProcessedFolder, split: str) -> pl.LazyFrame | None:
    """Return the rows of a split, None if it has no files."""
    files = sorted(folder.split(split).glob("*.parquet"))
    return pl.scan_parquet(files) if files else None
