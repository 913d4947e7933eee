"""The data of a run: rows read and dropped, times, popularity, histories, cold rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from towermill.columns import TIMESTAMP, TRAIN_COUNT
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.report import charts
from towermill.processed import ProcessedFolder, Stats, Summary

#: Bars of the chart of rows over time.
_BARS = 60


def data(run: RunFiles) -> dict[str, Any]:
    """Return the numbers and charts of a run's data."""
    folder = ProcessedFolder(run.path / "process")
    stats = Stats.read(folder)
    prepared = json.loads((run.path / "prepare" / "stats.json").read_text())
    summary = stats.summary
    if summary is None:  # version 1 of the statistics
        return {}
    users = pl.read_parquet(folder.users, columns=[TRAIN_COUNT])[TRAIN_COUNT]
    items = pl.read_parquet(folder.items, columns=[TRAIN_COUNT])[TRAIN_COUNT]
    return {
        "events": summary.events,
        "read": prepared["read"],
        "rows": summary.rows,
        "users": stats.users,
        "known_items": stats.items,
        "density": int(users.sum()) / max(stats.users * stats.items, 1),
        "dropped": [*_dropped(prepared["dropped"]), *_dropped(summary.dropped)],
        "splits": list(_splits(summary)),
        "over_time": _over_time(run, summary),
        "tail": charts.long_tail(items.to_numpy(), "training rows") if items.sum() else None,
        "tail_share": _share_of_top(items.to_numpy()),
        "histories": charts.histogram(users.to_numpy(), "training rows of a user", "users"),
        "median": users.median() if len(users) else None,
    }


def _dropped(found: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, int]]:
    for where, reasons in found.items():
        for reason, rows in reasons.items():
            yield where, reason, rows


def _splits(summary: Summary) -> Iterator[dict[str, Any]]:
    for name, split in summary.splits.items():
        rows = max(split.assigned_rows, 1)
        yield {
            "name": name,
            "rows": split.rows,
            "users": split.users,
            "first": split.first,
            "last": split.last,
            "cold_users": split.cold_users / rows,
            "cold_items": split.cold_items / rows,
        }


def _over_time(run: RunFiles, summary: Summary) -> str | None:
    """Return the chart of rows over time; None without times."""
    first, last = summary.first, summary.last
    file = run.path / "prepare" / f"{summary.events}.parquet"
    if first is None or last is None or first == last or not file.is_file():
        return None
    width: timedelta = (last - first) / _BARS
    rows = pl.scan_parquet(file).select(pl.col(TIMESTAMP).cast(pl.Datetime("us")))
    inside = rows.filter(pl.col(TIMESTAMP).is_between(first, last))
    place = (pl.col(TIMESTAMP) - first).dt.total_microseconds() / (
        width / timedelta(microseconds=1)
    )
    bins = inside.select(place.floor().clip(0, _BARS - 1).cast(pl.Int32).alias("bin"))
    counted = bins.group_by("bin").len().collect(engine="streaming")
    counts = np.zeros(_BARS, np.int64)
    counts[counted["bin"].to_numpy()] = counted["len"].to_numpy()
    return charts.over_time([first + width * nth for nth in range(_BARS)], counts, width)


def _share_of_top(counts: np.ndarray[Any, Any]) -> float | None:
    """Return the share of the rows that the most popular tenth of the items has."""
    total = int(counts.sum())
    if not total:
        return None
    ranked = np.sort(counts)[::-1]
    return float(ranked[: max(1, len(ranked) // 10)].sum() / total)
