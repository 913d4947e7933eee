"""Print finished runs, and comparisons between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from towermill.cli.terminal import print_table, say

if TYPE_CHECKING:
    from towermill.pipelines.running.finished.compare import Comparison, Paired
    from towermill.pipelines.running.finished.runs import RunRow

#: Letters of a recipe's value in a table.
_LONG = 60


def show_runs(found: Sequence[RunRow]) -> None:
    """Print a row for each run; a star marks the latest one of its recipe."""
    print_table(
        ["finished (UTC)", "metric", "value", "time", "path"],
        [
            [
                _when(row),
                row.metric or "",
                "" if row.value is None else f"{row.value:.4f}",
                f"{row.seconds:.0f}s",
                str(row.path),
            ]
            for row in found
        ],
    )


def _when(row: RunRow) -> str:
    when = datetime.fromisoformat(row.finished).strftime("%Y-%m-%d %H:%M")
    return f"{when} *" if row.latest else when


def show_comparison(found: Comparison) -> None:
    """Print differences between recipes, then metrics with their paired differences."""
    names = list(found.runs)
    if found.recipes:
        rows = [[key, *map(_short, values)] for key, values in found.recipes.items()]
        print_table(["recipe", *names], rows)
    else:
        say("The recipes are the same: the runs differ in code, packages or raw files.")
    headers = ["metric", names[0]]
    for name in names[1:]:
        headers += [name, "difference", "95 % interval"]
    print_table(headers, [_row(found, metric) for metric in found.metrics])
    for name, paired in found.paired.items():
        if paired is None:
            say(f"{name}: no test query has the same answers in both runs: nothing is paired.")
        elif set(paired.of) != {paired.queries}:
            say(
                f"{name}: paired on {paired.queries:,} test queries with the same answers in both "
                f"runs, of {paired.of[0]:,} and {paired.of[1]:,}."
            )


def _row(found: Comparison, metric: str) -> list[str]:
    first, *others = found.metrics[metric]
    row = [metric, _value(first)]
    for value, paired in zip(others, found.paired.values(), strict=True):
        row += [_value(value), *_difference(paired, metric)]
    return row


def _difference(paired: Paired | None, metric: str) -> tuple[str, str]:
    if paired is None or metric not in paired.differences:
        return "", ""
    interval = paired.intervals.get(metric)
    within = "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
    return f"{paired.differences[metric]:+.4f}", within


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
