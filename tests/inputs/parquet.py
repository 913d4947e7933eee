"""Parquet: types of columns, and types that differ between the files of one log."""

from __future__ import annotations

import io
from datetime import date, datetime
from typing import Any

import polars as pl
from catalogue import Case, Content, log

T = [datetime(2024, 1, 2), datetime(2024, 2, 3)]


def ids(
    name: str, kind: Any, values: list[Any], rows: list[Any] | None = None, **keys: Any
) -> Case:
    """Return a case of item ids of a type, of users 1, 2, …"""
    users = list(range(1, len(values) + 1))
    table = pl.DataFrame({"user_id": users, "item_id": pl.Series(values, dtype=kind)})
    expected = None if rows is None else list(zip(users, rows, strict=True))
    return log(f"Parquet ids: {name}", table, expected, **keys)


IDS = [
    *(
        ids(str(kind), kind, [7, 8], [7, 8])
        for kind in (
            pl.Int8,
            pl.Int16,
            pl.Int32,
            pl.Int64,
            pl.UInt8,
            pl.UInt16,
            pl.UInt32,
            pl.UInt64,
        )
    ),
    ids("Int128", pl.Int128, [7, 8], [7, 8]),
    ids("UInt64 beyond 2^63", pl.UInt64, [2**63, 8], refused="below 2"),
    ids("whole Float64", pl.Float64, [7.0, 8.0], [7, 8]),
    ids("Float64 with a fraction", pl.Float64, [7.5, 8.0], refused="7.5"),
    ids("Float64 beyond 2^53", pl.Float64, [2.0**53 + 2, 8.0], refused="2..53"),
    ids("Float32 beyond 2^24", pl.Float32, [2.0**24 + 2, 8.0], refused="2..24"),
    ids("Float64 with infinity", pl.Float64, [float("inf"), 8.0], refused="inf"),
    ids("Float64 with NaN", pl.Float64, [7.0, float("nan"), 8.0], refused="(?i)null|nan"),
    ids("text", pl.String, ["007", "8"], ["007", "8"]),
    ids("categories", pl.Categorical, ["a", "b"], ["a", "b"]),
    ids("an enumeration", pl.Enum(["b", "a"]), ["a", "b"], ["a", "b"]),
    ids("Booleans", pl.Boolean, [True, False], refused="(?i)boolean"),
    ids("bytes", pl.Binary, [b"a", b"b"], refused="(?i)binary"),
    ids("dates", pl.Date, [date(2024, 1, 1), date(2024, 1, 2)], refused="(?i)date"),
    ids("decimals", pl.Decimal(9, 2), ["7.00", "8.00"], refused="(?i)decimal"),
    ids("lists", pl.List(pl.Int64), [[7], [8]], refused="(?i)list"),
    ids("structs", pl.Struct({"a": pl.Int64}), [{"a": 7}, {"a": 8}], refused="(?i)struct"),
    ids("nulls alone", pl.Null, [None, None], refused="(?i)null|type"),
    ids("one null", pl.Int64, [7, None, 8], refused="null"),
    ids("empty text", pl.String, ["a", "", "b"], refused="(?i)blank|null|empty"),
]


def times(
    name: str, kind: Any, values: list[Any], found: list[datetime] | None = T, **keys: Any
) -> Case:
    """Return a case of timestamps of a type, of users and items 1 and 2."""
    table = pl.DataFrame(
        {"user_id": [1, 2], "item_id": [1, 2], "timestamp": pl.Series(values, dtype=kind)}
    )
    rows = (
        None if found is None or "refused" in keys else [(n, n, t) for n, t in enumerate(found, 1)]
    )
    return log(f"Parquet times: {name}", table, rows, more=("timestamp",), **keys)


TIMES = [
    *(times(f"Datetime in {unit}", pl.Datetime(unit), T) for unit in ("ms", "us", "ns")),
    times("Datetime in UTC", pl.Datetime("us", "UTC"), T),
    times(
        "Datetime in Berlin's time",
        pl.Datetime("us", "Europe/Berlin"),
        [datetime(2024, 1, 2), datetime(2024, 2, 3)],
    ),
    times("dates", pl.Date, [t.date() for t in T]),
    times("seconds", pl.Int64, [1704153600, 1706918400]),
    times("seconds in 32 bits", pl.Int32, [1704153600, 1706918400]),
    times("seconds in UInt64", pl.UInt64, [1704153600, 1706918400]),
    times(
        "seconds as Float64",
        pl.Float64,
        [1704153600.0, 1706918400.0],
        refused="should hold times.*Float64",
    ),
    times("ISO text", pl.String, ["2024-01-02", "2024-02-03"]),
    times("Booleans", pl.Boolean, [True, False], refused="(?i)boolean|timestamp"),
    times("times of the day", pl.Time, [t.time() for t in T], refused="(?i)time"),
    times("durations", pl.Duration("us"), [T[1] - T[0]] * 2, refused="(?i)duration|timestamp"),
]


def drift(
    name: str,
    first: Any,
    second: Any,
    rows: list[Any] | None = None,
    refused: str | None = None,
    **more: Any,
) -> Case:
    """Return a case of two files whose item ids (or whole tables) differ in type."""
    tables = [
        one if isinstance(one, pl.DataFrame) else pl.DataFrame({"user_id": users, "item_id": one})
        for users, one in (([1, 2], first), ([3, 4], second))
    ]
    files: dict[str, Content] = {
        f"log/{n}.parquet": table for n, table in zip("ab", tables, strict=True)
    }
    expected = None if rows is None else list(enumerate(rows, 1))
    return Case(f"Parquet files: {name}", files, more, expected, refused=refused)


def of(kind: Any, *values: Any) -> pl.Series:
    return pl.Series(values, dtype=kind)


def _pages_flipped() -> bytes:
    """Return a Parquet file of which one bit of a page differs; pages have checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    table = pa.table({"user_id": list(range(1000)), "item_id": list(range(1000))})
    pq.write_table(table, out, compression="NONE", use_dictionary=False, write_page_checksum=True)
    content = bytearray(out.getvalue())
    content[2000] ^= 1
    return bytes(content)


def _bytes(**columns: Any) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out)
    return out.getvalue()


LOG = {"user_id": [1, 2], "item_id": [7, 8]}
DRIFT = [
    drift("Int32 and Int64", of(pl.Int32, 7, 8), of(pl.Int64, 9, 7), [7, 8, 9, 7]),
    drift("Int64 and Int32", of(pl.Int64, 7, 8), of(pl.Int32, 9, 7), [7, 8, 9, 7]),
    drift("UInt32 and Int64", of(pl.UInt32, 7, 8), of(pl.Int64, 9, 7), [7, 8, 9, 7]),
    drift(
        "Int64 and whole floats, as after nulls in pandas",
        of(pl.Int64, 7, 8),
        of(pl.Float64, 9.0, 7.0),
        [7, 8, 9, 7],
    ),
    drift("whole floats and Int64", of(pl.Float64, 7.0, 8.0), of(pl.Int64, 9, 7), [7, 8, 9, 7]),
    drift("Int64 and fractions", of(pl.Int64, 7, 8), of(pl.Float64, 9.5, 7.0), refused="9.5"),
    drift(
        "categories and text",
        of(pl.Categorical, "a", "b"),
        of(pl.String, "c", "a"),
        ["a", "b", "c", "a"],
    ),
    drift(
        "text and categories",
        of(pl.String, "a", "b"),
        of(pl.Categorical, "c", "a"),
        ["a", "b", "c", "a"],
    ),
    drift(
        "two sets of categories",
        of(pl.Categorical, "a", "b"),
        of(pl.Categorical, "b", "c"),
        ["a", "b", "b", "c"],
    ),
    drift("integers and text", of(pl.Int64, 7, 8), of(pl.String, "9", "7"), refused="types"),
    drift(
        "integers and text, text as the recipe says",
        of(pl.Int64, 7, 8),
        of(pl.String, "09", "7"),
        ["7", "8", "09", "7"],
        types={"item_id": "text"},
    ),
    drift(
        "integers and text, integers as the recipe says",
        of(pl.Int64, 7, 8),
        of(pl.String, "09", "7"),
        [7, 8, 9, 7],
        types={"item_id": "integer"},
    ),
    drift(
        "an unused column in the second",
        pl.DataFrame(LOG),
        pl.DataFrame({**LOG, "x": ["a", "b"]}).with_columns(pl.col("user_id") + 2),
        None,
    ),
    drift(
        "an unused column in the first",
        pl.DataFrame({**LOG, "x": ["a", "b"]}),
        pl.DataFrame(LOG),
        None,
    ),
    drift(
        "unused columns of one name and unlike types",
        pl.DataFrame({**LOG, "x": ["a", "b"]}),
        pl.DataFrame({**LOG, "x": [1, 2]}),
        None,
    ),
    drift(
        "columns in another order",
        pl.DataFrame(LOG),
        pl.DataFrame({"item_id": [9, 7], "user_id": [3, 4]}),
        [7, 8, 9, 7],
    ),
    drift(
        "a missing column", pl.DataFrame(LOG), pl.DataFrame({"user_id": [3, 4]}), refused="item_id"
    ),
    drift("no rows in the second", pl.DataFrame(LOG), pl.DataFrame(LOG).clear(), [7, 8]),
    drift("no rows in the first", pl.DataFrame(LOG).clear(), pl.DataFrame(LOG), [7, 8]),
    Case(
        "Parquet files: times in ms and ns",
        {
            f"log/{unit}.parquet": pl.DataFrame(
                {**LOG, "timestamp": pl.Series(T, dtype=pl.Datetime(unit))}
            )  # type: ignore[arg-type]
            for unit in ("ms", "ns")
        },
        {},
        [(1, 7, T[0]), (2, 8, T[1])] * 2,
        ("timestamp",),
    ),
    Case(
        "Parquet files: all ratings null in the first",
        {
            "log/a.parquet": pl.DataFrame({**LOG, "stars": [None, None]}),
            "log/b.parquet": pl.DataFrame({**LOG, "stars": [4.5, 5.0]}),
        },
        {"interactions": {"rating": "stars"}},
        [(1, 7, None), (2, 8, None), (1, 7, 4.5), (2, 8, 5.0)],
        ("rating",),
    ),
    Case(
        "Parquet files: ratings whole, then fractions",
        {
            "log/a.parquet": pl.DataFrame({**LOG, "stars": [4, 5]}),
            "log/b.parquet": pl.DataFrame({**LOG, "stars": [4.5, 5.0]}),
        },
        {"interactions": {"rating": "stars"}},
        [(1, 7, 4.0), (2, 8, 5.0), (1, 7, 4.5), (2, 8, 5.0)],
        ("rating",),
    ),
]

DAMAGED = [
    Case(
        "Parquet: cut at its end", {"log.parquet": _bytes(**LOG)[:-20]}, refused="(?i)parquet|log"
    ),
    Case(
        "Parquet: cut at its start", {"log.parquet": _bytes(**LOG)[20:]}, refused="(?i)parquet|log"
    ),
    Case("Parquet: empty", {"log.parquet": b""}, refused="(?i)parquet|log"),
    Case("Parquet: a magic number alone", {"log.parquet": b"PAR1PAR1"}, refused="(?i)parquet|log"),
    Case("Parquet: no rows", {"log.parquet": pl.DataFrame(LOG).clear()}, refused="hold rows"),
    Case("Parquet: no columns", {"log.parquet": pl.DataFrame()}, refused="user_id"),
    Case(
        "Parquet: one bit of a page flipped, with checksums",
        {"log.parquet": _pages_flipped()},
        refused="(?i)checksum|crc|corrupt|damaged|reading",
    ),
]

CASES: list[Case] = [*IDS, *TIMES, *DRIFT, *DAMAGED]
