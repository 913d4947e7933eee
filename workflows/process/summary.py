"""What `process` read, dropped and kept; and a warning where little is left to test on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from towermill.columns import TIMESTAMP, Events
from towermill.processed import SPLITS, SplitCounts, Summary
from towermill.workflows.report import percent
from towermill.workflows.selecting.counts import BELOW_SIGNAL, COLD_ITEMS, COLD_USERS
from towermill.workflows.selecting.split import Split

logger = logging.getLogger(__name__)

#: Warn where a split keeps less than this share of its rows or users.
_LEAST = 0.5
NOT_POSITIVE = "left out by `features.positive`"
_OWN_ROWS = "`split: {kind: leave_one_out}`, or `{kind: random, by: user}`"


@dataclass(frozen=True)
class RawSplits:
    """What the workflow reads, and how many rows were dropped to make it.

    Attributes
    ----------
    paths
        Parquet of each split; of ``fit``, on which the workflow is fitted; and of side files.
    counts, dropped
        See `Splits`; dropped rows also of ``filters``.
    """

    paths: dict[str, Path]
    counts: dict[str, SplitCounts]
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)


def summarize(
    events: Events, read: int, raw: RawSplits, rows: Mapping[str, int], users: int, items: int
) -> Summary:
    """Return the summary of `process`.

    Parameters
    ----------
    read
        Rows of events in the canonical tables.
    rows
        Rows written, by split.
    users, items
        Known ids.
    """
    splits, dropped = {}, {place: dict(reasons) for place, reasons in raw.dropped.items()}
    for name in SPLITS:
        if name not in raw.counts:
            continue
        part = raw.counts[name]
        if lost := part.rows - rows[name]:
            dropped.setdefault(name, {})[NOT_POSITIVE] = lost
        first, last = _times(raw.paths[name])
        splits[name] = part.model_copy(update={"rows": rows[name], "first": first, "last": last})
    firsts = [part.first for part in splits.values() if part.first]
    lasts = [part.last for part in splits.values() if part.last]
    return Summary(
        events=events,
        read=read,
        rows=sum(part.rows for part in splits.values()),
        dropped={place: reasons for place, reasons in dropped.items() if reasons},
        users=users,
        items=items,
        first=min(firsts, default=None),
        last=max(lasts, default=None),
        matched={
            name: 1 - (part.cold_users + part.cold_items) / max(part.assigned_rows, 1)
            for name, part in splits.items()
            if name != "train"
        },
        splits=splits,
    )


def _times(path: Path) -> tuple[datetime | None, datetime | None]:
    frame = pl.scan_parquet(path)
    if TIMESTAMP not in frame.collect_schema():
        return None, None
    time = pl.col(TIMESTAMP)
    ends = frame.select(time.min().alias("first"), time.max().alias("last"))
    first, last = ends.collect(engine="streaming").row(0)
    return first, last


def warn_of_losses(summary: Summary, split: Split) -> None:
    """Log a warning for each split that lost most of its rows or users, and the likely remedy."""
    for name, part in summary.splits.items():
        reasons = summary.dropped.get(name, {})
        if name == "train" or not reasons:
            continue
        if part.rows >= _LEAST * part.assigned_rows and part.users >= _LEAST * part.assigned_users:
            continue
        main = max(reasons, key=lambda reason: reasons[reason])
        logger.warning(
            f"WARNING: {name} keeps {part.rows:,} of {part.assigned_rows:,} rows "
            f"({percent(part.rows / part.assigned_rows)}) and {part.users:,} of "
            f"{part.assigned_users:,} users. {reasons[main]:,} rows were dropped: {main}. Metrics "
            "on so few say little, and longer training does not help. " + _remedy(main, split)
        )


def _remedy(reason: str, split: Split) -> str:
    """Return what most likely brings the rows back."""
    if reason == COLD_USERS:
        cause = {
            "time": "Most users of this split begin after training ends",
            "given": "The parts of the source have few users in common",
        }.get(split.kind, "Most users have all their rows in this split")
        return (
            f"{cause}: set {_OWN_ROWS}, which tests each user on rows of its own. For a "
            "model that knows new users by their features, set `split.cold: keep`."
        )
    if reason == COLD_ITEMS:
        return (
            "Most items of this split are new: shorten validation and test (`split.validation`, "
            f"`split.test`), so that training reaches nearer to them, or set {_OWN_ROWS}."
        )
    key = {BELOW_SIGNAL: "split.min_signal", NOT_POSITIVE: "features.positive"}[reason]
    return f"Lower the minimum in `{key}`, add values to it, or leave it out."
