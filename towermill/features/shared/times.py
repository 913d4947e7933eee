"""Convert times of raw columns, in any supported form, to one Polars type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import polars as pl

from towermill.errors import DataError

TIMES: Final = (
    "times: integers (seconds, milliseconds, microseconds or nanoseconds since 1970), dates, "
    "datetimes (without a zone: UTC), or ISO 8601 text such as 2024-05-31T23:59:00Z"
)
#: Seconds of the years 1 and 9999: past them a Datetime has no Python value.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799


class _Unit(NamedTuple):
    name: Literal["s", "ms", "us", "ns"]
    #: Numbers below this, and not below the unit before, are of the unit.
    below: float
    per_second: int


_UNITS = (
    _Unit("s", 1e11, 1),
    _Unit("ms", 1e14, 10**3),
    _Unit("us", 1e17, 10**6),
    _Unit("ns", float("inf"), 10**9),
)
#: After a blank between date and time has been made a T.
_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
#: Rows on which ways to read a column are tried first.
_SAMPLE = 1000
#: How far outside the times of the other rows one may lie that is taken for another unit's.
_YEAR = 366 * 86_400.0


def time_expr(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    """Return `column` as Datetime("us"), in UTC without a zone.

    All rows are looked at to tell the format of text or the unit of integers. The unit is that of
    the median magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else
    nanoseconds. Integers outside the years 1 to 9999 are set to the nearer end, which
    `towermill.workflows.prepare.check_interactions` reports.

    Raises
    ------
    DataError
        The column is of another type; text is no time; integers are days such as 20240531, or of
        two units.
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
        return _from_integers(frame, column, what)
    if kind == pl.String:
        return _from_text(frame, column, what)
    example = frame.select(col.drop_nulls().first()).collect(engine="streaming").item()
    shown = "no value" if example is None else repr(example)
    raise _time_error(what, column, f"{shown} of type {kind}")


def text_times(text: pl.Expr, form: str | None = None) -> dict[str, pl.Expr]:
    """Return the ways to read text as times: null where it is of another form.

    Parameters
    ----------
    form
        The only form, as of `strptime`; by default those of ISO 8601, and last any of them.
    """
    text = text.str.strip_chars()
    if form is not None:
        return {form: _parsed(text, form, zoned="%z" in form or "%#z" in form)}
    text = text.str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T")
    text = text.str.replace(r" +([+-]\d\d:?\d\d|Z)$", "${1}")
    ways = {one: _parsed(text, one, zoned=False) for one in _FORMATS}
    ways |= {one: _parsed(text, one, zoned=True) for one in _ZONED_FORMATS}
    return {**ways, "any": pl.coalesce(list(ways.values()))}


def _parsed(text: pl.Expr, form: str, *, zoned: bool) -> pl.Expr:
    zone = "UTC" if zoned else None
    time = text.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
    return time.dt.replace_time_zone(None) if zoned else time


def best_way(frame: pl.LazyFrame, column: str, ways: Mapping[str, pl.Expr]) -> tuple[str, int]:
    """Return which of several ways to read a column reads most rows, and how many it leaves null.

    The first way that reads all rows is taken. Each is tried on all rows by itself, those that read
    more of the first rows before others: most columns need one pass.

    Parameters
    ----------
    ways
        Name to expression, which is null where it cannot read the column.
    """
    held = frame.filter(pl.col(column).is_not_null())
    few = held.select(column).head(_SAMPLE).collect(engine="streaming")
    read = few.select(way.count().alias(name) for name, way in ways.items()).row(0, named=True)
    least: tuple[str, int] | None = None
    for name in sorted(ways, key=lambda name: -read[name]):
        missed = frame.select(pl.col(column).count() - ways[name].count())
        left = int(missed.collect(engine="streaming").item())
        if left == 0:
            return name, 0
        if least is None or left < least[1]:
            least = name, left
    return least or (next(iter(ways)), 0)


def _from_text(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    ways = text_times(pl.col(column))
    best, left = best_way(frame, column, ways)
    if left:
        bad = frame.filter(pl.col(column).is_not_null() & ways["any"].is_null()).select(column)
        example = bad.head(1).collect(engine="streaming").item()
        raise _time_error(what, column, f"{example!r}, the first of {left} such rows")
    return ways[best]


def _time_error(what: str, column: str, found: str) -> DataError:
    return DataError(f"`{what}`: {column!r} should hold {TIMES}. Received: {found}.")


def _from_integers(frame: pl.LazyFrame, column: str, what: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Int64)
    month, day = value // 100 % 100, value % 100
    days = value.is_between(19_000_101, 21_001_231) & month.is_between(1, 12)
    days &= day.is_between(1, 31)
    found = frame.select(
        pl.col(column).count().alias("count"),
        days.sum().alias("days"),
        value.drop_nulls().first().alias("first"),
        value.min().alias("min"),
        value.max().alias("max"),
    )
    row = found.collect(engine="streaming").row(0, named=True)
    # A calendar day written as a number would pass for seconds in August 1970.
    if row["days"] == row["count"] > 0:
        raise _time_error(what, column, f"{row['first']}, which looks like a day as YYYYMMDD")
    ends = {_unit_of(row[end] or 0) for end in ("min", "max")}
    unit = ends.pop()
    if ends or (row["count"] and row["min"] < 0 < row["max"]):
        # Short of -2**63 itself, which has no magnitude.
        size = value.clip(-(2**63) + 1).abs()
        counts = frame.select(pl.col(column).count().alias("count"), *_per_unit(value, size))
        row = counts.collect(engine="streaming").row(0, named=True)
        unit = _median_unit(row)
        _refuse_two_units(row, unit, column, what)
    # Int64 nanoseconds end in 2262, so their bounds are those of the type.
    low = max(_EARLIEST * unit.per_second, -(2**63))
    high = min(_LATEST * unit.per_second, 2**63 - 1)
    value = value.clip(low, high)
    if unit.name == "ns":
        return (value // 1000).cast(pl.Datetime("us"))
    return pl.from_epoch(value, time_unit=unit.name).cast(pl.Datetime("us"))


def _per_unit(value: pl.Expr, size: pl.Expr) -> list[pl.Expr]:
    """Return how many numbers are of each unit, the least and the greatest."""
    found, above = [], 0.0
    for unit in _UNITS:
        own = (size >= above) & (size < unit.below)
        above = unit.below
        found += [
            own.sum().alias(unit.name),
            value.filter(own).min().alias(f"{unit.name}_min"),
            value.filter(own).max().alias(f"{unit.name}_max"),
        ]
    return found


def _unit_of(value: int) -> _Unit:
    """Return the unit of one number."""
    return next(unit for unit in _UNITS if abs(value) < unit.below)


def _median_unit(row: dict[str, int]) -> _Unit:
    """Return the unit of the median magnitude."""
    so_far = 0
    for unit in _UNITS:
        so_far += row[unit.name]
        if 2 * so_far >= row["count"]:
            return unit
    return _UNITS[-1]


def _refuse_two_units(row: dict[str, int], unit: _Unit, column: str, what: str) -> None:
    """Refuse numbers that would lie among the times of the others if they were of another unit."""
    first, last = (row[f"{unit.name}_{end}"] for end in ("min", "max"))
    for other in _UNITS:
        if other is unit or not row[other.name]:
            continue
        low, high = (row[f"{other.name}_{end}"] / other.per_second for end in ("min", "max"))
        if low <= last / unit.per_second + _YEAR and high >= first / unit.per_second - _YEAR:
            raise DataError(
                f"`{what}`: {column!r} should hold times of one unit. Of {row['count']}, "
                f"{row[unit.name]} look like {unit.name} (such as {last}) and {row[other.name]} "
                f"like {other.name} (such as {row[f'{other.name}_max']}). Convert them to one unit."
            )
