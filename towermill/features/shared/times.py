"""Convert times of raw columns, in any supported form, to one Polars type."""

from __future__ import annotations

from typing import Literal

import polars as pl

from towermill.errors import DataError

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


def time_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as Datetime("us"), in UTC without a zone.

    The unit of integers is inferred from the median magnitude of a sample of the first rows: below
    1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Integers
    outside the years 1 to 9999 are set to the nearer end, text that does not parse past the sample
    to null: `towermill.workflows.prepare.check_interactions` reports both.

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
