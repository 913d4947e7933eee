"""Log the summary of a stage in five lines."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from towermill.processed import SplitCounts, Summary

logger = logging.getLogger(__name__)


def report(stage: str, summary: Summary) -> None:
    """Log the five lines of `summary_lines` at INFO, as one message."""
    logger.info("%s", "\n".join(summary_lines(stage, summary)))


def summary_lines(stage: str, summary: Summary) -> list[str]:
    """Return a stage's summary as five lines: rows, dropped rows, ids, times, matches.

    Examples
    --------
    >>> from towermill.processed import Summary
    >>> from towermill.workflows.report import summary_lines
    >>> dropped = {"interactions": {"null id": 1}}
    >>> summary = Summary(events="interactions", read=9, rows=8, users=2, items=3, dropped=dropped)
    >>> print(*summary_lines("prepare", summary), sep="\\n")
    prepare: 9 interactions read, 8 kept
      dropped  interactions: 1 (1 null id)
      ids      2 users, 3 items
      times    none
      matched  no other table
    """
    events, splits = summary.events, summary.splits
    kept = ", ".join(f"{name} {part.rows:,}" for name, part in splits.items())
    dropped = "; ".join(_reasons(place, found) for place, found in summary.dropped.items())
    shown = " shown" if events == "impressions" and not splits else ""
    ids = f"{summary.users:,} users, {summary.items:,} items{shown}"
    if splits:
        held_out = {name: part for name, part in splits.items() if name != "train"}
        ids += " known; " + ", ".join(_users(name, part) for name, part in held_out.items())
    ranges: Mapping[str, SplitCounts | Summary] = splits or {"": summary}
    times = [f"{n} {_range(part)}".strip() for n, part in ranges.items() if part.first]
    return [
        f"{stage}: {summary.read:,} {events} read, {summary.rows:,} kept"
        + (f" ({kept})" if kept else ""),
        f"  dropped  {dropped or 'none'}",
        f"  ids      {ids}",
        f"  times    {', '.join(times) or 'none'}",
        f"  matched  {_matched(summary)}",
    ]


def percent(share: float) -> str:
    """Return a share as a percentage, rounded down, so that only all is 100%."""
    return f"{math.floor(share * 1000) / 10:g}%"


def _reasons(place: str, found: Mapping[str, int]) -> str:
    listed = ", ".join(f"{rows:,} {reason}" for reason, rows in found.items())
    return f"{place}: {sum(found.values()):,} ({listed})"


def _users(name: str, part: SplitCounts) -> str:
    return f"{part.users:,} of {part.assigned_users:,} {name} users kept"


def _range(part: SplitCounts | Summary) -> str:
    return f"{part.first:%Y-%m-%d} to {part.last:%Y-%m-%d}"


def _matched(summary: Summary) -> str:
    shares = summary.matched.items()
    if summary.splits:
        found = ", ".join(f"{percent(share)} of {name} rows" for name, share in shares)
        ids = "a user" if summary.events == "impressions" else "user and item"
        return f"{found} have {ids} with training rows"
    what = "items shown" if summary.events == "impressions" else summary.events
    found = ", ".join(f"{percent(share)} in {name}" for name, share in shares)
    return f"of the {what}, {found}" if found else "no other table"
