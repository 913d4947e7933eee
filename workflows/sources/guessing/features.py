"""Kinds of features, guessed from the names and values of a side table's columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import polars as pl

from towermill.features.config import Feature, names_refused
from towermill.workflows.sources.guessing.columns import Column
from towermill.workflows.sources.guessing.names import RATING, TITLE, is_id, word_set

#: Features of a table that are used; further ones are commented out.
_MOST = 12
_LONG = 60
#: Share of the rows that may have a value of their own for the column to be a category.
_REPEATED = 0.5
_FREE_TEXT = word_set("text description desc summary review body abstract comment bio")
_LINKS = word_set("url uri link image img picture photo website href")
_QUANTITIES = word_set("year age price cost weight length duration size preis alter")
_MAKERS = word_set("author artist brand publisher director label marke autor")
_GROUPS = word_set(
    "type group category department section colour color club city country kategorie"
)
_AGGREGATES = RATING | word_set(
    "review reviews votes views popularity useful funny cool compliment fans likes reviewed sales"
)


@dataclass(frozen=True)
class FeatureGuess:
    """What a column becomes.

    Attributes
    ----------
    name
        Of the feature.
    column
        In the file.
    keys
        Keys of the feature; None if the column is left out.
    why
        In a few words.
    likely
        Keys that it could have, of a column that is left out.
    """

    name: str
    column: Column
    keys: dict[str, Any] | None
    why: str
    likely: dict[str, Any] = field(default_factory=dict)


def features_of(columns: Sequence[Column], taken: Collection[str], what: str) -> list[FeatureGuess]:
    """Return what each column of a side table becomes, its key aside.

    Parameters
    ----------
    taken
        Names that the features cannot have: of keys, roles and other tables' features.
    what
        ``user`` or ``item``: put before a name that is taken.

    Examples
    --------
    >>> import polars as pl
    >>> brand = Column("Brand Name", pl.Series(["a", "b", "a", "b", "a", "c"]))
    >>> [(one.name, one.keys, one.why) for one in features_of([brand], (), "item")]
    [('brand_name', {'kind': 'category'}, '3 values')]
    """
    names = {*taken, "user_id", "item_id", "timestamp", "rating", "split"}
    others = {column.name for column in columns}
    titles = [c for c in columns if _may_be_title(c)]
    title = max(
        titles, key=lambda c: (bool({"title", "titel"} & set(c.words)), c.distinct), default=None
    )
    found, used = [], 0
    for column in columns:
        keys: dict[str, Any] | None
        keys, why = _kind(column, title)
        likely: dict[str, Any] = {"kind": "category" if column.number is None else "number"}
        if keys is not None:
            used += 1
            if used > _MOST:
                likely, keys, why = keys, None, f"one of more than {_MOST}"
        name = _name(column.name, names, others, what)
        names.add(name)
        found.append(FeatureGuess(name, column, keys, why, likely))
    return found


def _kind(column: Column, title: Column | None) -> tuple[dict[str, Any] | None, str]:
    words, rows = set(column.words), max(column.values.len(), 1)
    if not column.name or not words:
        return None, "has no name"
    if column.holds == "nothing" or column.missing > 0.95:
        return None, "almost no values"
    if column.holds == "list":
        return {"kind": "list"}, "lists"
    if column.distinct == 1:
        return None, "one value only"
    if title is not None and column.name == title.name:
        return {"kind": "title"}, "shown to people"
    if words & _LINKS or _has_links(column):
        return None, "links"
    if column.holds == "time":
        return {"kind": "age"}, "a date: days before the interaction"
    if column.holds in ("integer", "number"):
        return _of_numbers(column, words, rows)
    if column.holds == "boolean":
        kind = "number" if column.series.dtype == pl.Boolean else "category"
        return {"kind": kind}, "yes or no"
    return _of_text(column, words, rows)


def _of_numbers(column: Column, words: set[str], rows: int) -> tuple[dict[str, Any] | None, str]:
    if words & _AGGREGATES:
        return None, "if it is counted over the whole period, it tells of the test rows"
    whole = column.holds == "integer" and not column.series.dtype.is_float()
    if is_id(words):
        if column.distinct > _REPEATED * rows:
            return None, "an id of its own for almost every row"
        return ({"kind": "category"}, "codes") if whole else ({"kind": "number"}, "numbers")
    if whole and column.distinct <= 20 and not words & _QUANTITIES:
        return {"kind": "category"}, f"{column.distinct} values"
    return {"kind": "number"}, "numbers"


def _of_text(column: Column, words: set[str], rows: int) -> tuple[dict[str, Any] | None, str]:
    if separator := column.list_separator:
        keys = {"kind": "list"} | ({"separator": separator} if separator != "|" else {})
        return keys, f"several values, separated by {separator!r}"
    if column.length > _LONG or (words & _FREE_TEXT and column.distinct > _REPEATED * rows):
        return None, "free text; see `text` in docs/recipes.md for models that read it"
    share = 0.95 if words & _MAKERS else _REPEATED
    if column.distinct <= share * rows or column.distinct <= 3:
        return {"kind": "category"}, f"{column.distinct} values"
    return None, "almost every row has a value of its own"


def _may_be_title(column: Column) -> bool:
    words = set(column.words)
    named = bool(words & TITLE) and not words & (_LINKS | _MAKERS | _GROUPS)
    return named and column.holds == "text" and column.distinct > 0.3 * column.values.len()


def _has_links(column: Column) -> bool:
    return column.is_text and bool(column.values.head(20).str.contains(r"^https?://").all())


def _is_name(name: str) -> bool:
    return names_refused({name: Feature()}) is None


def _candidates(name: str, what: str) -> Iterator[str]:
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r":\w+$", "", name).lower()).strip("_")
    yield from (name, plain, f"{what}_{plain}", f"{what}_feature")
    yield from (f"{what}_feature_{i}" for i in count(1))


def _name(column: str, taken: Collection[str], others: Collection[str], what: str) -> str:
    """Return a name that a feature may have: the column's, or one that no column has."""
    return next(
        name
        for name in _candidates(column, what)
        if _is_name(name) and name not in taken and (name == column or name not in others)
    )
