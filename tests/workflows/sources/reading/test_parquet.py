"""Parquet files of one log whose types differ."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.sources.reading.parquet import scan_parquet_files

WHEN = datetime(2024, 5, 31, 23, 59, 1)


def scan(tmp_path: Path, *columns: pl.Series, **options: Any) -> pl.Series:
    files = []
    for i, column in enumerate(columns):
        files.append(tmp_path / f"{i}.parquet")
        pl.DataFrame({"x": column}).write_parquet(files[-1])
    return scan_parquet_files(files, ["x"], **options).collect()["x"]


class TestDrift:
    @pytest.mark.parametrize(
        ("one", "two", "found"),
        [
            (pl.Series([1], dtype=pl.Int32), pl.Series([2**40]), [1, 2**40]),
            (pl.Series([2**40]), pl.Series([1], dtype=pl.Int32), [2**40, 1]),
            (pl.Series([1]), pl.Series([2.5]), [1.0, 2.5]),
            (pl.Series([1]), pl.Series([3], dtype=pl.UInt64), [1, 3]),
            (pl.Series(["a"], dtype=pl.Categorical), pl.Series(["b"]), ["a", "b"]),
            (pl.Series(["a"]), pl.Series(["b"], dtype=pl.Enum(["b"])), ["a", "b"]),
            (pl.Series([None]), pl.Series(["b"]), [None, "b"]),
            (pl.Series([None], dtype=pl.Float64), pl.Series([1]), [None, 1.0]),
            (pl.Series([WHEN], dtype=pl.Datetime("ns")), pl.Series([WHEN]), [WHEN, WHEN]),
            (pl.Series([WHEN]), pl.Series([WHEN.replace(tzinfo=UTC)]), [WHEN, WHEN]),
            (pl.Series([WHEN.date()]), pl.Series([WHEN]), [datetime(2024, 5, 31), WHEN]),
            (pl.Series([True]), pl.Series([1, 0]), [1, 1, 0]),
            (
                pl.Series([[1]], dtype=pl.List(pl.Int32)),
                pl.Series([[2]], dtype=pl.Array(pl.Int64, 1)),
                [[1], [2]],
            ),
            (pl.Series([[]], dtype=pl.List(pl.Null)), pl.Series([["a"]]), [[], ["a"]]),
        ],
    )
    def test_widened(self, tmp_path: Path, one: pl.Series, two: pl.Series, found: Any) -> None:
        assert scan(tmp_path, one, two).to_list() == found

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (pl.Series([1]), pl.Series(["a"])),
            (pl.Series([WHEN]), pl.Series([1])),
            (pl.Series([[1]]), pl.Series([1])),
            (pl.Series([[1]]), pl.Series([["a"]])),
        ],
    )
    def test_no_common_type(self, tmp_path: Path, one: pl.Series, two: pl.Series) -> None:
        with pytest.raises(DataError, match=r"'x' should have one type .* in 0\.parquet"):
            scan(tmp_path, one, two)

    def test_a_declared_type_decides(self, tmp_path: Path) -> None:
        columns = (pl.Series([1]), pl.Series(["01"]), pl.Series([2.0, None]))
        found = scan(tmp_path, *columns, types={"x": "text"})
        assert found.to_list() == ["1", "01", "2", None]

    def test_columns_that_are_not_read_may_differ(self, tmp_path: Path) -> None:
        pl.DataFrame({"x": [1], "y": [1]}).write_parquet(tmp_path / "a.parquet")
        pl.DataFrame({"z": [b"0"], "x": [2], "y": ["a"]}).write_parquet(tmp_path / "b.parquet")
        files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
        assert scan_parquet_files(files, ["x"]).collect()["x"].to_list() == [1, 2]

    def test_a_file_that_lacks_a_column_is_named(self, tmp_path: Path) -> None:
        pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "a.parquet")
        pl.DataFrame({"y": [1]}).write_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError, match=r"b\.parquet should have a column 'x'"):
            scan_parquet_files([tmp_path / "a.parquet", tmp_path / "b.parquet"], ["x"])
