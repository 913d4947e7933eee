"""Which columns of a log say when, how well and to what end."""

from __future__ import annotations

from typing import Final

from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.names import (
    CLICK,
    EVENT,
    RATING,
    STRENGTH,
    TIME,
    entity_of,
    word_set,
)

#: Values of events. What undoes an interaction is never an answer.
WEAK: Final = word_set("view views pv detail impression show page_view viewed browse open")
STRONG: Final = word_set(
    "purchase buy bought transaction order sale paid checkout play watch listen like favorite "
    "favourite fav save cart addtocart add_to_cart add click follow share kauf download book "
    "booking rate subscribe wishlist completed complete bookmark"
)
UNDONE: Final = word_set(
    "remove removefromcart remove_from_cart dislike unlike skip return refund cancel unfollow "
    "delete storno hide report block"
)
#: Values of a column ``split``, as a split of kind ``given`` takes them.
SPLITS: Final = word_set("train validation valid val dev test")
#: Distinct values that ratings have at most.
_RATINGS = 21


def is_split(column: Column) -> bool:
    """Tell whether a column says ``train``, ``validation`` or ``test``."""
    if column.holds != "text" or not 2 <= column.distinct <= 3:
        return False
    return {"train", "test"} <= set(column.values.unique()) <= SPLITS


def event_score(column: Column) -> float:
    """Return how likely a column names events; 0 or less if it does not."""
    if not 1 <= column.distinct <= 20 or column.holds not in ("text", "integer"):
        return 0.0
    words = set(column.words) & EVENT
    if column.holds == "integer":
        return 0.5 if len(words) > 1 and column.distinct <= 10 else 0.0
    values = set(column.values.str.to_lowercase().unique())
    known = values & (WEAK | STRONG | UNDONE)
    if not known and not words - {"type"}:
        return 0.0
    return (1.0 if words else 0.0) + 2.0 * len(known) / len(values) - (not known) * 0.5


def time_score(column: Column, named: bool) -> float:
    """Return how likely a column has the times of the interactions."""
    if column.holds != "time" or column.missing:
        return 0.0
    words = set(column.words)
    if named and column.time_format == "epoch" and not words & TIME:
        return 0.0
    score = 2.0 + bool(words & TIME) + 0.5 * (column.time_format in ("epoch", "iso", "typed"))
    score += 0.3 * bool(words & {"timestamp", "event", "created", "added"})
    return score - 0.5 * (column.distinct < 2) - bool(words & {"since", "birth", "updated"})


def rating_score(column: Column, named: bool, place: int) -> float:
    """Return how likely a column has ratings; without names, a third column or later."""
    number = column.number
    if number is None or column.distinct < 2 or column.holds not in ("integer", "number"):
        return 0.0
    low, high = float(number.min()), float(number.max())  # type: ignore[arg-type]
    words = set(column.words)
    if named:
        few = column.distinct <= 101 and low >= -10 and high <= 100
        if not (words & RATING and few) or entity_of(words) == "user":
            return 0.0
        return 2.0 - column.missing
    few = column.distinct <= _RATINGS and low >= 0 and 1 < high <= 10
    halves = bool((number * 2 == (number * 2).round()).all())
    return 1.0 if few and halves and place >= 2 and column.distinct > 2 else 0.0


def click_score(column: Column) -> float:
    """Return how likely a column says whether there was a click."""
    if column.holds not in ("integer", "boolean") or not set(column.words) & CLICK:
        return 0.0
    values = set(column.values.cast(str).str.to_lowercase().unique())
    return 1.0 if values <= {"0", "1", "true", "false", "0.0", "1.0"} and len(values) > 1 else 0.0


def strength_score(column: Column) -> float:
    """Return how likely a column has amounts, such as plays or hours."""
    named = bool(set(column.words) & STRENGTH) and not set(column.words) & {"order", "price"}
    return 1.0 if named and column.number is not None and column.distinct > 1 else 0.0
