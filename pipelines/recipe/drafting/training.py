"""Filters, split, positives and model that suit a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from towermill.pipelines.recipe.drafting.lines import flow, key, note
from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.outcomes import STRONG, UNDONE
from towermill.workflows.sources.guessing.tables import Guess

#: EASE is fast up to this many items and rows: see `evaluate.baselines`.
_EASE_ITEMS, _EASE_ROWS = 20_000, 10_000_000
#: Rows that filters on counts should leave.
_KEPT = 0.7
_ALL = "all events"
#: Share of the rows that a rating should reach to count as positive.
_LIKED = 0.3
#: Stronger events alone are learned if they are so many of the rows, or a smaller share of many.
_HALF, _DOMINANT, _MANY = 0.5, 0.2, 50_000
#: Share of repeated pairs from which on they may be what the log is about.
_AGAIN = 0.3


@dataclass(frozen=True)
class Sections:
    """The sections after `source`, as lines, and what to check of them."""

    lines: list[str]
    rows: list[list[str]]
    checks: list[str]


def sections_of(guess: Guess) -> Sections:
    """Return filters, split, features, model, train and evaluate for a log."""
    roles = guess.roles
    sessions = roles.user_is in ("session", "device") and roles.timestamp is not None
    lines, rows, checks = [], [], []
    wanted, why, others = _positive(guess)
    filters, filters_why = _filters(guess)
    if sessions and wanted:
        filters = {"min_signal": wanted, **filters}
        filters_why = f"{why}; {filters_why}" if filters_why else why
    lines.append(key(0, "filters", filters, filters_why or "rows that a user or item must have"))
    if not sessions and roles.rating is not None:
        lines.append(note(0, "Or drop low ratings before anything else: filters: {min_rating: 4}."))
    if not sessions and _repeats(guess) > 0.1:
        lines.append(
            note(
                0,
                f"{_repeats(guess):.0%} of the rows repeat a pair of user and item: "
                "`deduplicate: last` in filters keeps one.",
            )
        )
    if not sessions and _repeats(guess) > _AGAIN:
        again = key(0, "evaluate", {"filter_seen": False}, off=True)
        lines += [note(0, "To count an item that a user has had before as an answer:"), again]
    split, split_why = _split(guess, sessions)
    lines.append(key(0, "split", split, split_why))
    rows.append(["split", flow(split), split_why])
    if split["kind"] == "time":
        lines.append(note(0, "Where users come only once, test each on rows of its own:"))
        lines.append(key(0, "split", {"kind": "leave_one_out"}, off=True))
    if wanted and not sessions:
        lines.append(key(0, "features", {"positive": wanted}, why))
        rows.append(["answers", flow(wanted), why])
        if why != _ALL:
            checks.append(f"`positive: {flow(wanted)}`: only these rows are learned and tested.")
    lines += [note(0, text) for text in others]
    model, model_why = _model(guess, sessions)
    lines += model
    rows.append(["model", model_why, f"{guess.log.rows:,} rows"])
    return Sections(lines, rows, checks)


def _positive(guess: Guess) -> tuple[dict[str, Any], str, list[str]]:
    """Return what makes a row an answer, why, and alternatives."""
    roles = guess.roles
    if roles.event is not None:
        return _events(roles.event, guess.log.rows)
    if roles.click is not None:
        return {"click": 1}, "shown rows count for vocabularies, clicks are learned", []
    if roles.rating is not None:
        return _liked(roles.rating)
    return {}, "", []


def _events(column: Column, rows: int) -> tuple[dict[str, Any], str, list[str]]:
    counts = column.values.value_counts(sort=True)
    found = dict(counts.iter_rows())
    if column.holds == "integer":
        values = [int(value) for value in found]
        return {"event": values}, "all events: look up what the numbers mean", []
    undone = [value for value in found if value.lower() in UNDONE]
    kept = [value for value in found if value not in undone] or list(found)
    strong = [value for value in kept if value.lower() in STRONG]
    share = sum(found[value] for value in strong) / max(column.values.len(), 1)
    enough = share >= _HALF or (share >= _DOMINANT and share * rows >= _MANY)
    if strong and len(strong) < len(kept) and enough:
        why = f"{share:.0%} of the rows; without views"
        return {"event": strong}, why, [f"All events: positive: {flow({'event': kept})}."]
    why = _ALL + (f" but {', '.join(undone)}" if undone else "")
    alternatives = []
    if strong and len(strong) < len(kept):
        alternatives = [
            f"{share:.1%} of the rows are more than a view: positive: "
            f"{flow({'event': strong})} learns from them alone.",
            "With `model: {kind: history}` they can count more: weights: "
            f"{flow({'event': dict.fromkeys(strong, 3)})} beside positive.",
        ]
    return {"event": kept}, why, alternatives


def _liked(column: Column) -> tuple[dict[str, Any], str, list[str]]:
    number = column.number
    if number is None or not number.len():
        return {}, "", []
    top = float(number.max())  # type: ignore[arg-type]
    steps = [round(top * share, 1) for share in (0.8, 0.7, 0.6)]
    least = next((step for step in steps if (number >= step).mean() >= _LIKED), steps[-1])  # type: ignore[operator]
    least = int(least) if least == int(least) else least
    share = float((number >= least).mean() or 0)  # type: ignore[arg-type]
    zeros = float((number == 0).mean() or 0)  # type: ignore[arg-type]
    others = [f"{zeros:.0%} of the ratings are 0: does 0 mean unrated?"] if zeros > 0.2 else []
    return {"rating": least}, f"{share:.0%} of the ratings", others


def _filters(guess: Guess) -> tuple[dict[str, Any], str]:
    user, item = guess.roles.user.series, guess.roles.item.series
    session = guess.roles.user_is != "user"
    if not guess.log.whole:
        return ({"min_item": 5} if session else {"min_user": 5, "min_item": 5}), ""
    frame = pl.DataFrame({"user": user, "item": item})
    for least in (5, 3, 2):
        enough = pl.len().over("item") >= least
        enough &= (pl.len().over("user") >= least) | pl.lit(session)
        kept = frame.filter(enough).height / max(frame.height, 1)
        if kept >= _KEPT:
            found = {"min_item": least} if session else {"min_user": least, "min_item": least}
            return found, f"keeps {kept:.0%} of the rows"
    return {}, "none: most users or items have few rows"


def _repeats(guess: Guess) -> float:
    frame = pl.DataFrame({"u": guess.roles.user.series, "i": guess.roles.item.series})
    return 1 - frame.n_unique() / max(frame.height, 1)


def _split(guess: Guess, sessions: bool) -> tuple[dict[str, Any], str]:
    roles = guess.roles
    if roles.split is not None:
        return {"kind": "given"}, f"by the column {roles.split.name}"
    shares = {"validation": 0.1, "test": 0.1}
    if sessions:
        return {"kind": "session", **shares}, "whole sessions, the last ones are tested"
    if roles.timestamp is not None:
        return {"kind": "time", **shares}, "the last tenth of the time is tested"
    return {"kind": "random", "by": "user", **shares}, "no timestamps: a tenth of each user's rows"


def _model(guess: Guess, sessions: bool) -> tuple[list[str], str]:
    rows = guess.log.rows
    items = guess.items.sample.rows if guess.items else guess.roles.item.distinct
    if sessions:
        model = {"kind": "history", "encoder": "self_attention", "embedding_dim": 64}
        train = {"epochs": 20, "batch_size": 512, "learning_rate": 0.001}
        lines = [
            key(0, "model", model, "reads the session in order"),
            key(0, "train", train),
            key(0, "evaluate", {"k": [10, 20], "filter_seen": False}, "an item may come up again"),
        ]
        return lines, "history (self_attention)"
    history: dict[str, Any] = {"kind": "history"}
    many = rows > _EASE_ROWS or items > _EASE_ITEMS
    schedule = {"kind": "cosine", "floor": 0.05}
    if many:
        model = history | {"embedding_dim": 128}
        why = "a two-tower whose query is the user's history"
        lines = [key(0, "model", model, why)]
        name = "history"
    else:
        lines = [
            note(0, "A regression of items on items, and a two-tower on the user's history."),
            "model:",
            "  kind: blend",
            "  parts:",
            f"    - {flow({'kind': 'ease', 'l2': 300 if rows < 300_000 else 1000})}",
            f"    - {flow(history | {'l2': 0.05, 'history_dropout': 0.6})}",
        ]
        name = "blend of ease and history"
    lines.append(note(0, "By ids and features alone: model: {kind: two_tower}."))
    batch = 128 if rows < 2_000_000 else 512
    lines += [
        "train:",
        *(
            f"  {k}: {flow(v)}"
            for k, v in {
                "epochs": 20 if many else 40,
                "batch_size": batch,
                "learning_rate": 0.003,
                "schedule": schedule,
                "evaluate_every": 4,
                "patience": 20,
            }.items()
        ),
    ]
    return lines, name
