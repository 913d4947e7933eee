"""Times of raw columns: units, formats, zones, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.features.shared.times import time_expr

WHEN = datetime(2024, 5, 31, 23, 59, 1)
SECONDS = int(WHEN.replace(tzinfo=UTC).timestamp())


def times(values: Any, dtype: Any = None) -> list[datetime | None]:
    frame = pl.LazyFrame({"at": pl.Series("at", values, dtype=dtype)})
    out = frame.select(time_expr(frame, "at", "t")).collect(engine="streaming")
    assert out.schema["at"] == pl.Datetime("us")
    return out["at"].to_list()


class TestTimes:
    @pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
    def test_units_by_magnitude(self, factor: int) -> None:
        assert times([SECONDS * factor, None]) == [WHEN, None]

    def test_unit_is_that_of_the_median_not_of_the_row(self) -> None:
        # 0 and 1 would be seconds on their own; among milliseconds they are milliseconds.
        found = times([1, SECONDS * 1000, SECONDS * 1000])
        assert found == [datetime(1970, 1, 1) + timedelta(milliseconds=1), WHEN, WHEN]

    def test_a_value_of_another_unit_lands_far_off_and_does_not_wrap(self) -> None:
        assert times([SECONDS, SECONDS, 9 * 10**18])[2] == datetime(9999, 12, 31, 23, 59, 59)

    @pytest.mark.parametrize("factor", [10**3, 10**6, 10**9])
    def test_two_units_are_refused(self, factor: int) -> None:
        for values in ([SECONDS] * 3 + [SECONDS * factor], [SECONDS] + [SECONDS * factor] * 3):
            with pytest.raises(DataError, match=r"one unit. Of 4, 3 look like"):
                times(values)

    def test_early_dates_are_no_other_unit(self) -> None:
        # In seconds, these milliseconds of 1971 would lie past all others.
        found = times([32_000_000_000, SECONDS * 1000, SECONDS * 1000])
        assert found[0] == datetime(1971, 1, 6, 8, 53, 20)

    def test_text_is_read_past_the_first_rows(self) -> None:
        many = ["2024-05-31"] * 12_000
        with pytest.raises(DataError, match="'31/05/2024', the first of 1 such rows"):
            times([*many, "31/05/2024"])

    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    def test_datetimes(self, unit: Any) -> None:
        assert times([WHEN], pl.Datetime(unit)) == [WHEN]

    def test_zones_become_utc(self) -> None:
        series = pl.Series([WHEN]).dt.replace_time_zone("Asia/Tokyo")
        assert times(series) == [WHEN - timedelta(hours=9)]

    def test_dates(self) -> None:
        assert times([date(2024, 5, 31)]) == [datetime(2024, 5, 31)]

    def test_iso_text_in_many_forms(self) -> None:
        found = times(
            [
                "2024-05-31T23:59:01",
                "2024-05-31 23:59:01.5",
                "2024-05-31 23:59",
                "2024-05-31",
                "2024-05-31T23:59:01Z",
                "2024-06-01 01:59:01+02:00",
                None,
            ]
        )
        half = WHEN + timedelta(microseconds=500_000)
        minute = WHEN.replace(second=0)
        assert found == [WHEN, half, minute, datetime(2024, 5, 31), WHEN, WHEN, None]

    @pytest.mark.parametrize(
        ("values", "example"),
        [
            (["2024-05-31", "31/05/2024"], "'31/05/2024'"),
            ([1.5e9], "1500000000.0 of type Float64"),
            ([True], "True of type Boolean"),
            ([20240531, 20231201], "20240531, which looks like a day"),
        ],
    )
    def test_anything_else_is_refused(self, values: list[Any], example: str) -> None:
        with pytest.raises(DataError, match="'at' should hold times") as error:
            times(values)
        assert f"Received: {example}" in str(error.value)
        assert "ISO 8601" in str(error.value)
