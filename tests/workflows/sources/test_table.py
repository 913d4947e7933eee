"""Any table: column names, types of ids, times and features, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.features.shared.times import time_expr
from towermill.workflows.sources.reading.casting import id_expr
from towermill.workflows.sources.reading.files import find_files, scan
from towermill.workflows.sources.table import Table

SHARED = Path(__file__).parents[4] / "shared" / "data" / "ml-1m-pairs"
WHEN = datetime(2024, 5, 31, 23, 59, 1)
SECONDS = int(WHEN.replace(tzinfo=UTC).timestamp())


def times(values: Any, dtype: Any = None) -> list[datetime | None]:
    frame = pl.LazyFrame({"at": pl.Series("at", values, dtype=dtype)})
    out = frame.select(time_expr(frame, "at", "t")).collect(engine="streaming")
    assert out.schema["at"] == pl.Datetime("us")
    return out["at"].to_list()


def ids(values: Any, dtype: Any = None) -> pl.Series:
    frame = pl.LazyFrame({"id": pl.Series("id", values, dtype=dtype)})
    return frame.select(id_expr(frame, "id", "t")).collect()["id"]


class TestTimes:
    @pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
    def test_units_by_magnitude(self, factor: int) -> None:
        assert times([SECONDS * factor, None]) == [WHEN, None]

    def test_unit_is_that_of_the_median_not_of_the_row(self) -> None:
        # 0 and 1 would be seconds on their own; among milliseconds they are milliseconds.
        found = times([1, SECONDS * 1000, SECONDS * 1000])
        assert found == [datetime(1970, 1, 1) + timedelta(milliseconds=1), WHEN, WHEN]

    def test_a_value_of_another_unit_lands_far_off_and_does_not_wrap(self) -> None:
        assert times([SECONDS, SECONDS, SECONDS * 10**9])[2] == datetime(9999, 12, 31, 23, 59, 59)

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


class TestIds:
    def test_integers_and_whole_floats(self) -> None:
        for dtype in (pl.Int8, pl.UInt64, pl.Float64):
            assert ids([1, 2, None], dtype).to_list() == [1, 2, None]
            assert ids([1, 2, None], dtype).dtype == pl.Int64

    def test_nan_is_null(self) -> None:
        assert ids([1.0, float("nan")]).to_list() == [1, None]

    def test_text_and_categoricals(self) -> None:
        for dtype in (pl.String, pl.Categorical, pl.Enum(["007", "a"])):
            found = ids(["007", "a"], dtype)
            assert found.dtype == pl.String
            assert found.to_list() == ["007", "a"]

    @pytest.mark.parametrize(
        ("values", "dtype", "found"),
        [
            ([1.0, 2.5], None, "Received: 2.5"),
            ([2**63], pl.UInt64, f"Received: {2**63}"),
            ([True], None, "Boolean"),
            ([[1]], None, "List"),
        ],
    )
    def test_refused(self, values: list[Any], dtype: Any, found: str) -> None:
        with pytest.raises(DataError, match="'id' should hold") as error:
            ids(values, dtype)
        assert found in str(error.value)


class TestFeatures:
    @pytest.mark.parametrize(
        ("kind", "values", "expected"),
        [
            ("category", ["a", None], ["a", None]),
            ("category", [1, 2], [1, 2]),
            ("list", ["a|b", "", None], [["a", "b"], [], None]),
            ("list", [[1], [2, 3]], [[1], [2, 3]]),
            ("number", [1.5, None], [1.5, None]),
            ("number", [True, False], [True, False]),
            ("age", ["2024-05-31"], [datetime(2024, 5, 31)]),
            ("hour", [SECONDS], [WHEN]),
            ("title", ["A"], ["A"]),
            ("title", [1], ["1"]),
        ],
    )
    def test_read(self, kind: Any, values: list[Any], expected: list[Any]) -> None:
        frame = pl.LazyFrame({"f": values})
        feature = Feature(kind=kind)
        out = frame.select(feature.encoder.cast(frame, "f", feature, "t")).collect()
        assert out["f"].to_list() == expected

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            ("number", ["1"]),
            ("list", [1]),
            ("category", [[1]]),
            ("category", [WHEN]),
            ("title", [[1]]),
            ("hour", ["noon"]),
        ],
    )
    def test_refused(self, kind: Any, values: list[Any]) -> None:
        frame, feature = pl.LazyFrame({"f": values}), Feature(kind=kind)
        with pytest.raises(DataError, match="'f' should hold"):
            feature.encoder.cast(frame, "f", feature, "t")


class TestIdsOfText:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            (["007", "7", "07"], ["007", "7", "07"]),
            (["7", "8", "-9"], [7, 8, -9]),
            (["7", "", "8"], [7, None, 8]),
            (["7", "x", "8"], ["7", "x", "8"]),
        ],
    )
    def test_csv(self, tmp_path: Path, written: list[str], expected: list[Any]) -> None:
        lines = ["user_id,item_id", *(f"{user},1" for user in written)]
        (tmp_path / "log.csv").write_text("\n".join(lines))
        table = Table.model_validate({"interactions": {"path": str(tmp_path / "log.csv")}})
        out = table.read(tmp_path).interactions.collect()
        assert out["user_id"].to_list() == expected
        assert out["item_id"].to_list() == [1] * len(written)


class TestFiles:
    def test_file_folder_and_glob(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        folder = Path("data")
        folder.mkdir()
        for name in ("b.parquet", "a.parquet", "_c.parquet", ".d.parquet", "notes.txt"):
            (folder / name).touch()
        names = [folder / "a.parquet", folder / "b.parquet"]
        assert find_files("data", "p") == names
        assert find_files("data/*.parquet", "p") == names
        assert find_files(tmp_path / "da*" / "a*", "p") == [tmp_path / "data" / "a.parquet"]
        assert find_files("data/b.parquet", "p") == names[1:]

    def test_nested(self, tmp_path: Path) -> None:
        (tmp_path / "day=1").mkdir()
        (tmp_path / "day=1" / "a.csv").touch()
        assert find_files(tmp_path, "p") == [tmp_path / "day=1" / "a.csv"]

    @pytest.mark.parametrize("path", ["none", "*.csv", "."])
    def test_nothing(self, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataError, match=r"`source\.x\.path`"):
            find_files(path, "source.x.path")

    def test_several_formats(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").touch()
        (tmp_path / "a.parquet").touch()
        with pytest.raises(DataError, match="csv, parquet"):
            find_files(tmp_path, "p")

    def test_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_text("no")
        with pytest.raises(DataError, match="Cannot read"):
            scan([tmp_path / "a.parquet"])


class TestTable:
    @pytest.fixture
    def recipe(self, tmp_path: Path) -> dict[str, Any]:
        pl.DataFrame(
            {
                "reader": [1, 2],
                "film": ["a", "b"],
                "at": [SECONDS, SECONDS],
                "stars": [4, 5],
                "was_clicked": [True, False],
                "device": ["tv", "phone"],
                "unused": [0, 0],
            }
        ).write_parquet(tmp_path / "ratings.parquet")
        (tmp_path / "films.tsv").write_text(
            "film\tgenre\tyear\tgroups\na\tx\t1995\t7\nb\ty\t\t8|9\n"
        )
        (tmp_path / "readers.csv").write_text("reader,age\n2,30\n1,20\n")
        return {
            "kind": "table",
            "interactions": {
                "path": str(tmp_path / "ratings.parquet"),
                "user_id": "reader",
                "item_id": "film",
                "timestamp": "at",
                "rating": "stars",
                "signals": {"click": "was_clicked"},
                "features": {"device": "category", "at": "hour"},
            },
            "items": {
                "path": str(tmp_path / "films.tsv"),
                "item_id": "film",
                "features": {"genre": "category", "year": "number", "groups": "list"},
            },
            "users": {
                "path": str(tmp_path / "readers.csv"),
                "user_id": "reader",
                "features": {"age": {"kind": "number", "normalize": False}},
            },
        }

    def test_canonical(self, recipe: dict[str, Any], tmp_path: Path) -> None:
        source = Table.model_validate(recipe)
        tables = source.read(tmp_path)
        rows = tables.interactions.collect(engine="streaming")
        assert rows.columns == [
            *("user_id", "item_id", "timestamp", "rating", "click", "device", "at"),
        ]
        assert rows.row(0) == (1, "a", WHEN, 4.0, 1, "tv", WHEN)
        assert rows.schema["rating"] == pl.Float32
        assert tables.items is not None
        assert tables.users is not None
        assert tables.items.collect().rows() == [
            ("a", "x", 1995, ["7"]),
            ("b", "y", None, ["8", "9"]),
        ]
        assert tables.users.collect().rows() == [(2, 30), (1, 20)]
        assert tables.features["item"]["genre"] == Feature()
        assert not tables.features["user"]["age"].normalize
        assert [file.name for file in source.files()] == [
            *("ratings.parquet", "films.tsv", "readers.csv"),
        ]

    def test_signals_as_a_list(self, recipe: dict[str, Any], tmp_path: Path) -> None:
        recipe["interactions"]["signals"] = ["was_clicked"]
        rows = Table.model_validate(recipe).read(tmp_path).interactions
        assert "was_clicked" in rows.collect_schema()

    def test_side_ids_take_the_type_of_the_interactions(self, tmp_path: Path) -> None:
        def read(inter: list[Any], side: list[Any]) -> list[Any]:
            pl.DataFrame({"user_id": inter, "item_id": inter}).write_parquet(tmp_path / "i.parquet")
            pl.DataFrame({"user_id": side}).write_parquet(tmp_path / "u.parquet")
            source = {
                "interactions": {"path": str(tmp_path / "i.parquet")},
                "users": {"path": str(tmp_path / "u.parquet")},
            }
            users = Table.model_validate(source).read(tmp_path).users
            assert users is not None
            return users.collect()["user_id"].to_list()

        assert read(["1", "2"], [2, 1]) == ["2", "1"]
        assert read([1, 2], ["2", "1"]) == [2, 1]
        with pytest.raises(DataError, match="Received: 'x'"):
            read([1, 2], ["2", "x"])

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("user_id", "raeder", "Did you mean 'reader'"),
            ("rating", "device", "should hold numbers or Booleans"),
            ("signals", {"user_id": "unused"}, "a key of its own"),
            ("features", {"device": "number"}, "should hold numbers"),
            ("features", {"none": "number"}, "should have a column 'none'"),
        ],
    )
    def test_errors(
        self, recipe: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str
    ) -> None:
        recipe["interactions"][key] = value
        with pytest.raises(DataError, match=message):
            Table.model_validate(recipe).read(tmp_path)

    def test_unknown_key(self, recipe: dict[str, Any]) -> None:
        recipe["interactions"]["user"] = "reader"
        with pytest.raises(ValidationError, match="user"):
            Table.model_validate(recipe)

    @pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
    def test_real_pairs(self, tmp_path: Path) -> None:
        source = {
            "interactions": {
                "path": str(SHARED / "ratings.parquet"),
                "user_id": "userID",
                "item_id": "movieID",
            },
            "users": {
                "path": str(SHARED / "users.parquet"),
                "user_id": "userID",
                "features": {"gender": "category"},
            },
        }
        tables = Table.model_validate(source).read(tmp_path)
        assert tables.users is not None
        known = tables.interactions.join(tables.users, on="user_id", how="semi")
        assert known.select(pl.len()).collect(engine="streaming").item() == 1_000_209
