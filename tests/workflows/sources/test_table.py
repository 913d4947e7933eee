"""Any table: column names, types of ids, times and features, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.sources.reading.casting import id_expr
from towermill.workflows.sources.reading.files import find_files, scan
from towermill.workflows.sources.table import Table

SHARED = Path(__file__).parents[4] / "shared" / "data" / "ml-1m-pairs"
WHEN = datetime(2024, 5, 31, 23, 59, 1)
SECONDS = int(WHEN.replace(tzinfo=UTC).timestamp())


def ids(values: Any, dtype: Any = None) -> pl.Series:
    frame = pl.LazyFrame({"id": pl.Series("id", values, dtype=dtype)})
    return frame.select(id_expr(frame, "id", "t")).collect()["id"]


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
        for name in (
            "b.parquet",
            "a.parquet",
            "_c.parquet",
            ".d.parquet",
            "README.txt",
            "a.parquet.crc",
        ):
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

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_text_signals(self, tmp_path: Path, ending: str) -> None:
        file = tmp_path / f"log.{ending}"
        frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "what": ["view", "buy"]})
        frame.write_csv(file) if ending == "csv" else frame.write_parquet(file)
        source = Table.model_validate(
            {"interactions": {"path": str(file), "signals": {"event": "what"}}}
        )
        with pytest.raises(DataError, match=r"`source\.types: .what: text.`"):
            source.read(tmp_path)
        assert source.reading_as_text(["click"]) == source
        rows = source.reading_as_text(["event", "click"]).read(tmp_path).interactions.collect()
        assert rows["event"].to_list() == ["view", "buy"]

    def test_declared_types_count_before_the_use(self, tmp_path: Path) -> None:
        log = tmp_path / "log.csv"
        log.write_text("user_id,item_id,what\n1,1,7\n2,2,8\n")
        source = Table.model_validate(
            {
                "interactions": {"path": str(log), "signals": {"event": "what"}},
                "types": {"what": "integer"},
            }
        )
        rows = source.reading_as_text(["event"]).read(tmp_path).interactions.collect()
        assert rows["event"].to_list() == [7, 8]

    def test_text_signals_leave_columns_of_other_tables_alone(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text("user_id,item_id,kind\n1,1,7\n2,2,8\n")
        (tmp_path / "items.csv").write_text("item_id,kind\n1,3\n2,4\n")
        source = Table.model_validate(
            {
                "interactions": {"path": str(tmp_path / "log.csv"), "signals": ["kind"]},
                "items": {
                    "path": str(tmp_path / "items.csv"),
                    "features": {"kind": "number"},
                },
            }
        )
        tables = source.reading_as_text(["kind"]).read(tmp_path)
        assert tables.interactions.collect()["kind"].to_list() == ["7", "8"]
        assert tables.items is not None
        assert tables.items.collect()["kind"].to_list() == [3, 4]

    def test_text_signals_that_are_none(self) -> None:
        with pytest.raises(ValidationError, match="should name signals"):
            Table.model_validate({"interactions": {"path": "x", "text_signals": ["event"]}})

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
