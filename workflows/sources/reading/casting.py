"""Raw types to canonical ones: ids, timestamps, and the types that a feature kind can have."""

from __future__ import annotations

from typing import Literal

import polars as pl

from towermill.errors import DataError, did_you_mean
from towermill.features import Feature

#: Rows looked at to tell the unit or format of a timestamp.
_SAMPLE = 10_000
_TIMES = (
    "integers (seconds, milliseconds, microseconds or nanoseconds since 1970), dates, datetimes "
    "(without a zone: UTC), or ISO 8601 text such as 2024-05-31T23:59:00Z"
)
#: Seconds of the years 1 and 9999: past them a Datetime has no Python value.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799
_UNITS: tuple[tuple[Literal["s", "ms", "us", "ns"], float, int], ...] = (
    ("s", 1e11, 1),
    ("ms", 1e14, 10**3),
    ("us", 1e17, 10**6),
    ("ns", float("inf"), 10**9),
)
#: After a blank between date and time has been made a T.
_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")


def require(frame: pl.LazyFrame, columns: list[str], what: str) -> None:
    """Raise a DataError unless `frame` has all `columns`; `what` names the table."""
    names = frame.collect_schema().names()
    for column in columns:
        if column not in names:
            raise DataError(
                f"`{what}` should have a column {column!r}.{did_you_mean(column, names)} "
                f"Found: {', '.join(names)}."
            )


def id_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as Int64 (from integers, or floats that are whole) or String.

    NaN becomes null. A float or unsigned 64-bit column is read once, to see that it can be cast.

    Raises
    ------
    DataError
        The column is of another type, or holds floats that are not whole or integers past 2**63-1.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column)
    if kind == pl.UInt64:
        top = frame.select(col.max()).collect(engine="streaming").item()
        if top is not None and top >= 2**63:
            raise DataError(
                f"`{what}`: {column!r} should hold ids below 2**63. Received: {top}. Write such "
                "ids as strings."
            )
    if kind.is_integer():
        return col.cast(pl.Int64)
    if kind.is_float():
        whole = (col == col.round()) & (col.abs() <= 2**53)
        bad = frame.filter(col.is_not_nan() & ~whole).select(col.first())
        example = bad.collect(engine="streaming")
        if example.height and example.item() is not None:
            raise DataError(
                f"`{what}`: {column!r} should hold whole ids (below 2**53 where they are floats). "
                f"Received: {example.item()}. Write ids as integers or strings."
            )
        return col.fill_nan(None).cast(pl.Int64)
    if kind == pl.String or kind in (pl.Categorical, pl.Enum):
        return col.cast(pl.String)
    raise DataError(
        f"`{what}`: {column!r} should hold ids: integers, strings, or floats that are whole. "
        f"Its type is {kind}."
    )


def id_list_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column`, lists or arrays of ids, as List(Int64) or List(String).

    Nulls stay where they are.

    Raises
    ------
    DataError
        The column is of another type.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column).arr.to_list() if isinstance(kind, pl.Array) else pl.col(column)
    if isinstance(kind, pl.List | pl.Array):
        inner = kind.inner
        # Of a file in which all lists are empty, nothing is known but that they are lists.
        if inner.is_integer() or inner == pl.Null:
            return col.cast(pl.List(pl.Int64))
        if inner == pl.String or inner in (pl.Categorical, pl.Enum):
            return col.cast(pl.List(pl.String))
    raise DataError(
        f"`{what}`: {column!r} should hold lists of ids: integers or strings. Its type is {kind}."
    )


def time_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as Datetime("us"), in UTC without a zone.

    The unit of integers is told by the median magnitude of a sample of the first rows: below 1e11
    seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Integers outside
    the years 1 to 9999 are set to the nearer end, text that does not parse past the sample to null:
    `towermill.workflows.prepare.check_interactions` reports both.

    Raises
    ------
    DataError
        The column is of another type, or a value of the sample cannot be parsed.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column)
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is not None:
            col = col.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return col.cast(pl.Datetime("us"))
    if kind == pl.Date:
        return col.cast(pl.Datetime("us"))
    if kind.is_integer():
        return _from_integers(_sample(frame, column), column, what)
    if kind == pl.String:
        parsed = _from_text(column)
        sample = _sample(frame, column)
        bad = sample.to_frame().filter(parsed.is_null())
        if bad.height:
            raise _time_error(what, column, repr(bad.item(0, 0)))
        return parsed
    example = _sample(frame, column)
    shown = repr(example[0]) if example.len() else "no value"
    raise _time_error(what, column, f"{shown} of type {kind}")


def _sample(frame: pl.LazyFrame, column: str) -> pl.Series:
    head = frame.select(column).filter(pl.col(column).is_not_null()).head(_SAMPLE)
    return head.collect(engine="streaming").to_series()


def _time_error(what: str, column: str, found: str) -> DataError:
    return DataError(f"`{what}`: {column!r} should hold times: {_TIMES}. Received: {found}.")


def _from_integers(sample: pl.Series, column: str, what: str) -> pl.Expr:
    # A calendar day written as a number would pass for seconds in August 1970.
    text = sample.cast(pl.String)
    if sample.len() and text.str.to_date("%Y%m%d", strict=False).is_not_null().all():
        days = text.str.len_chars() == 8
        if days.all() and bool(sample.is_between(19_000_101, 21_001_231).all()):
            raise _time_error(what, column, f"{sample[0]}, which looks like a day as YYYYMMDD")
    middle = sample.cast(pl.Float64).abs().median() if sample.len() else 0.0
    size = float(middle) if isinstance(middle, (int, float)) else 0.0
    unit, factor = next((unit, factor) for unit, top, factor in _UNITS if size < top)
    # Int64 nanoseconds end in 2262, so their bounds are those of the type.
    low, high = max(_EARLIEST * factor, -(2**63)), min(_LATEST * factor, 2**63 - 1)
    value = pl.col(column).cast(pl.Int64).clip(low, high)
    if unit == "ns":
        return (value // 1000).cast(pl.Datetime("us"))
    return pl.from_epoch(value, time_unit=unit).cast(pl.Datetime("us"))


def _from_text(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T")
    text = text.str.replace(r" +([+-]\d\d:?\d\d|Z)$", "${1}")
    plain = [text.str.to_datetime(form, time_unit="us", strict=False) for form in _FORMATS]
    zoned = [
        text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
        for form in _ZONED_FORMATS
    ]
    return pl.coalesce(plain + [form.dt.replace_time_zone(None) for form in zoned])


def feature_expr(frame: pl.LazyFrame, column: str, feature: Feature, what: str) -> pl.Expr:
    """Return `column` in the type that its feature kind is read from.

    ``category``: integers, strings, Booleans or floats as they are, categoricals as strings.
    ``list``: a list column as it is; text is cut at the feature's separator, an empty text into an
    empty list. ``number``: numbers, decimals and Booleans as they are. ``hour``, ``weekday`` and
    ``age``: Datetime("us"). ``title``: single values, as text.

    Raises
    ------
    DataError
        The column's type is not one that the kind can have.
    """
    kind = frame.collect_schema()[column]
    col = pl.col(column)
    text = kind == pl.String or kind in (pl.Categorical, pl.Enum)
    if feature.kind in ("hour", "weekday", "age"):
        return time_expr(frame, column, what)
    if feature.kind == "list":
        if isinstance(kind, pl.List) and not kind.inner.is_nested():
            return col
        if text:
            cut = col.cast(pl.String).str.split(feature.separator)
            return (
                pl.when(col.cast(pl.String) == "")
                .then(pl.lit([], pl.List(pl.String)))
                .otherwise(cut)
                .alias(column)
            )
        wanted = "a list column, or text to cut at its separator"
    elif feature.kind == "number":
        if kind == pl.Decimal:
            return col.cast(pl.Float64)
        if kind.is_numeric() or kind == pl.Boolean:
            return col
        wanted = "numbers"
    elif feature.kind == "title":
        if not kind.is_nested():
            return col.cast(pl.String)
        wanted = "single values"
    else:
        if text:
            return col.cast(pl.String)
        if kind.is_integer() or kind.is_float() or kind == pl.Boolean:
            return col
        wanted = "single values: integers, text or Booleans"
    raise DataError(
        f"`{what}`: {column!r} should hold {wanted}, as its feature kind is {feature.kind!r}. Its "
        f"type is {kind}. Choose another kind or another column."
    )
