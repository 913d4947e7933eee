"""CSV values: ids, numbers, times and categories as people write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from catalogue import Case, log

HEAD = "user_id,item_id\n"


def ids(name: str, *values: str, rows: list[Any] | None = None, **keys: Any) -> Case:
    """Return a case of these item ids, of users 1, 2, …"""
    lines = [f"{user},{value}\n" for user, value in enumerate(values, 1)]
    expected = None if rows is None else list(enumerate(rows, 1))
    return log(f"ids: {name}", HEAD + "".join(lines), expected, **keys)


IDS = [
    ids("whole numbers", "7", "8", rows=[7, 8]),
    ids("leading zeros", "01234", "1234", rows=["01234", "1234"]),
    ids(
        "leading zeros, integers as the recipe says",
        "007",
        "8",
        rows=[7, 8],
        types={"item_id": "integer"},
    ),
    ids(
        "one leading zero after ten thousand rows",
        *map(str, range(1, 10_001)),
        "01",
        rows=[*map(str, range(1, 10_001)), "01"],
    ),
    ids(
        "text after ten thousand numbers",
        *map(str, range(1, 10_001)),
        "x",
        rows=[*map(str, range(1, 10_001)), "x"],
    ),
    ids("all fractions that are whole", "7.0", "8.0", refused="types"),
    ids("whole numbers and fractions", "7", "8.0", refused="(?s)types.*item_id"),
    ids(
        "fractions, integers as the recipe says",
        "7.0",
        "8",
        rows=[7, 8],
        types={"item_id": "integer"},
    ),
    ids(
        "fractions, text as the recipe says",
        "7.0",
        "8",
        rows=["7.0", "8"],
        types={"item_id": "text"},
    ),
    ids("true fractions", "7.5", "8", rows=["7.5", "8"]),
    ids(
        "true fractions, integers as the recipe says",
        "7.5",
        "8",
        refused="7.5",
        types={"item_id": "integer"},
    ),
    ids("powers of ten", "1e3", "8", rows=["1e3", "8"]),
    ids("a plus sign", "+7", "8", rows=["+7", "8"]),
    ids("negative numbers", "-7", "8", rows=[-7, 8]),
    ids("minus zero and zero", "-0", "0", "1", rows=["-0", "0", "1"]),
    ids(
        "beyond 2^53",
        "9007199254740993",
        "9007199254740992",
        rows=[9007199254740993, 9007199254740992],
    ),
    ids("the greatest of 64 bits", "9223372036854775807", "1", rows=[2**63 - 1, 1]),
    ids("beyond 64 bits", "9223372036854775808", "1", rows=["9223372036854775808", "1"]),
    ids("thirty digits", "1" * 30, "2" * 30, rows=["1" * 30, "2" * 30]),
    ids("hexadecimal", "0x1F", "0x20", rows=["0x1F", "0x20"]),
    ids(
        "UUIDs",
        "8c0a6f2e-0000-4000-8000-000000000001",
        "b",
        rows=["8c0a6f2e-0000-4000-8000-000000000001", "b"],
    ),
    ids("digits with separators of thousands", '"1,000"', "2", rows=["1,000", "2"]),
    ids("digits with underscores", "1_000", "2", rows=["1_000", "2"]),
    ids("digits of other scripts", "٣", "4", rows=["٣", "4"]),
    ids("text", "a", "b", rows=["a", "b"]),
    ids("text that looks like Booleans", "true", "false", rows=["true", "false"]),
    ids(
        "text that looks like dates", "2024-01-01", "2024-01-02", rows=["2024-01-01", "2024-01-02"]
    ),
    ids("text that looks like infinity", "inf", "x", rows=["inf", "x"]),
    ids("capitals and small letters", "a", "A", "b", rows=["a", "A", "b"]),
    ids("capitals made small", "a", "A", "b", rows=["a", "a", "b"], normalize_ids=["lower"]),
    ids("blanks at the ends of text", "a ", "b", rows=["a ", "b"]),
    ids("blanks at the ends, stripped", "a ", " b", rows=["a", "b"], normalize_ids=["strip"]),
    ids("blanks around numbers", " 7", "8", refused="(?i)blank|strip|types"),
    ids("blanks around numbers, stripped", " 7", "8", rows=[7, 8], normalize_ids=["strip"]),
    ids("blanks within", "a b", "c", rows=["a b", "c"]),
    ids("a blank alone", " ", "x", "y", refused="(?i)blank|null|strip"),
    ids("no-break spaces", "a\u00a0", "b", rows=["a\u00a0", "b"]),
    ids("a zero-width space", "a\u200b", "a", rows=["a\u200b", "a"]),
    ids("a slash", "a/b", "c", rows=["a/b", "c"]),
    ids("a percent sign and a plus", "50%+", "c", rows=["50%+", "c"]),
    ids("empty", "7", "", "8", refused="(?i)null|empty|missing"),
    Case(
        "ids: empty, dropped",
        {"log.csv": HEAD + "1,7\n2,\n3,8\n"},
        {"on_null_id": "drop"},
        [(1, 7), (3, 8)],
    ),
    *(
        Case(
            f"ids: {mark!r} is missing",
            {"log.csv": HEAD + f"1,7\n2,{mark}\n3,8\n"},
            refused="(?i)null|missing",
        )
        for mark in ("NULL", "null", "None", "nan", "NaN", "<NA>", r"\N")
    ),
    *(
        Case(
            f"ids: {mark!r} is missing, and dropped",
            {"log.csv": HEAD + f"1,7\n2,{mark}\n3,8\n"},
            {"on_null_id": "drop"},
            [(1, 7), (3, 8)],
        )
        for mark in ("NULL", "None", "nan", r"\N")
    ),
    *(
        Case(
            f"ids: {mark!r} is a value",
            {"log.csv": HEAD + f"1,a\n2,{mark}\n"},
            {},
            [(1, "a"), (2, mark)],
        )
        for mark in ("NA", "n/a", "nil", "-", "?", "unknown", "N", "0")
    ),
    Case(
        "ids: a mark of the recipe is missing",
        {"log.csv": HEAD + "1,7\n2,-1\n3,8\n"},
        {"null_values": ["-1"], "on_null_id": "drop"},
        [(1, 7), (3, 8)],
    ),
    Case(
        "ids: NULL with other marks is a value",
        {"log.csv": HEAD + "1,a\n2,NULL\n3,-\n"},
        {"null_values": ["-"], "on_null_id": "drop"},
        [(1, "a"), (2, "NULL")],
    ),
    Case(
        "ids: users are missing, too",
        {"log.csv": HEAD + "1,7\n,8\n3,9\n"},
        {"on_null_id": "drop"},
        [(1, 7), (3, 9)],
    ),
    Case(
        "ids: all are missing",
        {"log.csv": HEAD + "1,\n2,\n"},
        {"on_null_id": "drop"},
        refused="(?i)no|two",
    ),
    Case(
        "ids: one column for both",
        {"log.csv": HEAD + "1,7\n2,8\n"},
        {"interactions": {"item_id": "user_id"}},
        refused="two columns",
    ),
    Case("ids: one user", {"log.csv": HEAD + "1,7\n1,8\n"}, refused="at least 2 users"),
    Case("ids: one item", {"log.csv": HEAD + "1,7\n2,7\n"}, refused="at least 2 users and 2 items"),
    Case(
        "ids: the same pair twice",
        {"log.csv": HEAD + "1,7\n1,7\n2,8\n"},
        {},
        [(1, 7), (1, 7), (2, 8)],
    ),
]


def times(name: str, *values: str, found: list[datetime] | None = None, **keys: Any) -> Case:
    """Return a case of these timestamps, of users and items 1, 2, …"""
    lines = [f"{n},{n},{value}\n" for n, value in enumerate(values, 1)]
    rows = None if found is None else [(n, n, value) for n, value in enumerate(found, 1)]
    text = "user_id,item_id,timestamp\n" + "".join(lines)
    return log(f"times: {name}", text, rows, more=("timestamp",), **keys)


A, B = datetime(2024, 1, 2, 3, 4, 5), datetime(2024, 2, 3)
_A, _B = 1704164645, 1706918400
TIMES = [
    times("seconds", str(_A), str(_B), found=[A, B]),
    times("milliseconds", f"{_A}000", f"{_B}000", found=[A, B]),
    times("microseconds", f"{_A}000000", f"{_B}000000", found=[A, B]),
    times("nanoseconds", f"{_A}000000000", f"{_B}000000000", found=[A, B]),
    times(
        "seconds and milliseconds", str(_A), f"{_B}000", refused="times of one unit.*1 look like s "
    ),
    times("seconds with fractions", f"{_A}.0", f"{_B}.0", refused="timestamp|types"),
    times("before 1970", "-86400", str(_B), refused="between 1970 and 2100"),
    times("ISO 8601", "2024-01-02T03:04:05", "2024-02-03T00:00:00", found=[A, B]),
    times("ISO 8601 with a blank", "2024-01-02 03:04:05", "2024-02-03 00:00:00", found=[A, B]),
    times("ISO 8601 in UTC", "2024-01-02T03:04:05Z", "2024-02-03T00:00:00Z", found=[A, B]),
    times(
        "ISO 8601 with an offset",
        "2024-01-02T04:04:05+01:00",
        "2024-02-03T01:00:00+01:00",
        found=[A, B],
    ),
    times(
        "ISO 8601 with fractions",
        "2024-01-02T03:04:05.000",
        "2024-02-03T00:00:00.000",
        found=[A, B],
    ),
    times("dates alone", "2024-01-02", "2024-02-03", found=[datetime(2024, 1, 2), B]),
    times("days first, not said", "02.01.2024", "03.02.2024", refused="timestamp"),
    times(
        "days first, as the recipe says",
        "02.01.2024",
        "03.02.2024",
        found=[datetime(2024, 1, 2), B],
        date_format="%d.%m.%Y",
    ),
    times(
        "months first, as the recipe says",
        "01/02/2024",
        "02/03/2024",
        found=[datetime(2024, 1, 2), B],
        date_format="%m/%d/%Y",
    ),
    times(
        "a second format after the first row",
        "2024-01-02",
        "03.02.2024",
        refused="03.02.2024|line 3|timestamp",
    ),
    times("a day that does not exist", "2024-02-30", "2024-02-03", refused="2024-02-30|timestamp"),
    times(
        "a second format in row 12,000", *["2024-02-03"] * 12_000, "03.02.2024", refused="timestamp"
    ),
    times("one is missing", str(_A), "", refused="(?i)timestamp.*(null|missing)|null"),
    times("text", "soon", "later", refused="timestamp"),
    times("year 10000", "99999999999999999", str(_B), refused="between 1970 and 2100|one unit"),
    times("all are zero", "0", "0", found=[datetime(1970, 1, 1)] * 2),
]


def numbers(name: str, *values: str, found: list[float] | None = None, **keys: Any) -> Case:
    """Return a case of these ratings, of users and items 1, 2, …"""
    lines = [f"{n},{n},{value}\n" for n, value in enumerate(values, 1)]
    rows = None if found is None else [(n, n, value) for n, value in enumerate(found, 1)]
    text = "user_id,item_id,stars\n" + "".join(lines)
    keys["interactions"] = {"rating": "stars"}
    return log(f"numbers: {name}", text, rows, more=("rating",), **keys)


NUMBERS = [
    numbers("whole", "4", "5", found=[4, 5]),
    numbers("fractions", "4.5", "5", found=[4.5, 5]),
    numbers(
        "a fraction after twelve thousand whole ones",
        *["4"] * 12_000,
        "4.5",
        found=[4.0] * 12_000 + [4.5],
    ),
    numbers("powers of ten", "1e1", "5", found=[10, 5]),
    numbers("decimal commas, not said", '"4,5"', '"5,0"', refused="stars"),
    numbers("decimal commas, as the recipe says", '"4,5"', '"5,0"', found=[4.5, 5], decimal=","),
    numbers("text among them", "4", "good", refused="stars.*good|good"),
    numbers("text after twelve thousand", *["4"] * 12_000, "good", refused="good"),
    numbers("infinity", "4", "inf", refused="stars|rating|finite"),
    numbers("with a currency sign", "$4", "$5", refused="stars"),
    numbers("with a percent sign", "4%", "5%", refused="stars"),
    numbers("true and false", "true", "false", found=[True, False]),
    numbers("blanks around them", " 4", "5", found=[4, 5]),
]

CASES: list[Case] = [*IDS, *TIMES, *NUMBERS]
