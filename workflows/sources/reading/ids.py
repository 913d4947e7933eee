"""Ids that are text: what is missing, what is a number, and what has two readings."""

from __future__ import annotations

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.reading.options import Declared, ReadingOptions

#: What programs write for a missing id, and nobody is called.
MISSING_IDS = ("NULL", "Null", "null", "None", "NaN", "nan", "NAN", "<NA>", r"\N")
_NUMBER = r"^\s*[+-]?\d+(\.0*)?\s*$"


def whole_number(text: pl.Expr) -> pl.Expr:
    """Return text as Int64, also whole numbers that a float column was written as (``12.0``)."""
    return text.str.extract(r"^\s*([+-]?\d+)(?:\.0*)?\s*$").cast(pl.Int64, strict=False)


def is_integer_text(text: pl.Expr) -> pl.Expr:
    """Return whether text is an integer to the letter: read as one, it is written the same."""
    return (text.cast(pl.Int64, strict=False).cast(pl.String) == text).fill_null(False)


def id_text(column: str, options: ReadingOptions) -> pl.Expr:
    """Return ids as text, normalised as the recipe says; missing ones are null.

    Blank ids are missing, and `MISSING_IDS` unless the recipe gives `null_values`.
    """
    text = pl.col(column).cast(pl.String)
    if "strip" in options.normalize_ids:
        text = text.str.strip_chars()
    missing = MISSING_IDS if options.null_values is None else options.null_values
    gone = text.is_in(missing) | (text.str.strip_chars() == "")
    text = pl.when(gone).then(None).otherwise(text)
    return text.str.to_lowercase() if "lower" in options.normalize_ids else text


def id_of_text(
    frame: pl.LazyFrame,
    column: str,
    what: str,
    options: ReadingOptions,
    declared: Declared | None,
) -> pl.Expr:
    """Return a column of text as ids: Int64 if all rows are integers to the letter, else String.

    Parameters
    ----------
    declared
        Decides by itself: ``integer`` also takes ``007`` and ``7.0`` for 7.

    Raises
    ------
    DataError
        Ids have two readings: ``12`` and ``12.0``, or with blanks around them; or they are declared
        to be integers, and one is not.
    """
    text = id_text(column, options)
    if declared == "text":
        return text
    if declared is not None:
        return _declared_integers(frame, text, column, what)
    # Most ids are integers without further ado, and need nothing done to their text.
    for ids in (pl.col(column), text):
        whole = is_integer_text(ids).sum().alias("whole")
        counts = frame.select(ids.count().alias("all"), whole).collect(engine="streaming")
        every, integers = counts.row(0)
        if integers == every > 0:
            return ids.cast(pl.Int64, strict=False)
    if every:
        _refuse_two_readings(frame, text, column, what)
    return text


def _declared_integers(frame: pl.LazyFrame, text: pl.Expr, column: str, what: str) -> pl.Expr:
    integer = whole_number(text)
    bad = frame.select(text.filter(text.is_not_null() & integer.is_null()).first().alias("bad"))
    example = bad.collect(engine="streaming").item()
    if example is not None:
        raise DataError(
            f"`{what}`: {column!r} should hold integers below 2**63, as `source.types` says. "
            f"Received: {example!r}. Mend it, or set `source.types: {{{column}: text}}`."
        )
    return integer


def _refuse_two_readings(frame: pl.LazyFrame, text: pl.Expr, column: str, what: str) -> None:
    """Refuse numbers of which some are written with a point, or with blanks."""
    point, blank = text.str.contains(r"\."), text.str.contains(r"^\s|\s$")
    found = (
        frame.select(
            text.str.contains(_NUMBER).all().alias("numbers"),
            text.filter(point).first().alias("point"),
            text.filter(blank).first().alias("blank"),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if found["numbers"] and found["point"] is not None:
        example = found["point"]
        whole = example.strip().split(".")[0]
        raise DataError(
            f"`{what}`: {column!r} should hold ids with one reading. Received {example!r}, which "
            f"is {whole} as a whole number and another id than {whole!r} as text. Set "
            f"`source.types: {{{column}: integer}}` or `source.types: {{{column}: text}}`."
        )
    if found["blank"] is None:
        return
    fewer = frame.select(text.str.strip_chars().n_unique() < text.n_unique())
    if found["numbers"] or fewer.collect(engine="streaming").item():
        example = found["blank"]
        raise DataError(
            f"`{what}`: {column!r} should hold ids with one reading. Received {example!r}, which "
            f"is another id than {example.strip()!r} unless blanks are taken off. Set "
            f"`source.normalize_ids: [strip]` or `source.types: {{{column}: text}}`."
        )


def in_type(side: pl.LazyFrame, role: str, kind: pl.DataType, what: str) -> pl.LazyFrame:
    """Return a side table with its ids in the type of the interactions' ids.

    Raises
    ------
    DataError
        Those are integers, and an id of the side table is none.
    """
    if side.collect_schema()[role] == kind:
        return side
    if kind == pl.Int64:
        # These ids are text: one that is no number could meet no interaction, and 007 is not 7.
        bad = side.filter(pl.col(role).is_not_null() & ~is_integer_text(pl.col(role)))
        example = bad.select(role).head(1).collect(engine="streaming")
        if example.height:
            raise DataError(
                f"`{what}`: the ids should be integers, as those of the interactions are. "
                f"Received: {example.item()!r}. Mend them, or set `source.types` for the columns "
                "of both tables (`text`, or `integer`, which takes 007 and 7.0 for 7)."
            )
    return side.with_columns(pl.col(role).cast(kind))
