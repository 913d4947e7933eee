"""Types of a table's columns: by what the recipe makes of them, and by all rows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.workflows.sources.table import Table
from towermill.workflows.tables import Tables

#: More than any sample of the first rows.
MANY = 12_000


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def from_frames(
        log: dict[str, Any] | pl.DataFrame,
        items: dict[str, Any] | None = None,
        features: dict[str, Any] | None = None,
        form: str = "csv",
        context: dict[str, Any] | None = None,
        **options: Any,
    ) -> Tables:
        write(pl.DataFrame(log), tmp_path / f"log.{form}")
        source: dict[str, Any] = {
            "interactions": {"path": str(tmp_path / f"log.{form}"), "features": context or {}},
            **options,
        }
        if items is not None:
            write(pl.DataFrame(items), tmp_path / f"items.{form}")
            path = str(tmp_path / f"items.{form}")
            source["items"] = {"path": path, "features": features or {}}
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return Table.model_validate(source).read(scratch)

    return from_frames


def write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)


LOG = {"user_id": ["1", "2"], "item_id": ["1", "2"]}


class TestText:
    @pytest.mark.parametrize(
        ("kind", "written"),
        [
            ("category", ["01234", "1234"]),
            ("category", ["1.10", "1.1"]),
            ("category", ["1e5", "100000"]),
            ("category", ["true", "True"]),
            ("title", ["007", "1984"]),
            ("title", ["1.0", "2"]),
        ],
    )
    def test_stays_as_written(self, read: Any, kind: str, written: list[str]) -> None:
        items = {"item_id": ["1", "2"], "x": written}
        assert read(LOG, items, {"x": kind}).items.collect()["x"].to_list() == written

    def test_members_of_lists(self, read: Any) -> None:
        items = {"item_id": ["1", "2"], "x": ["1.10|01", "1.1"]}
        found = read(LOG, items, {"x": "list"}).items.collect()["x"].to_list()
        assert found == [["1.10", "01"], ["1.1"]]

    def test_categories_are_integers_only_if_all_rows_are(self, read: Any) -> None:
        items = {"item_id": range(MANY + 1), "x": ["5"] * MANY + ["x"]}
        assert read(LOG, items, {"x": "category"}).items.collect_schema()["x"] == pl.String
        items["x"] = ["5"] * MANY + ["6"]
        assert read(LOG, items, {"x": "category"}).items.collect_schema()["x"] == pl.Int64
        found = read(LOG, items, {"x": "category"}, types={"x": "text"})
        assert found.items.collect_schema()["x"] == pl.String


class TestNumbersAndTimes:
    def test_floats_after_many_integers(self, read: Any) -> None:
        items = {"item_id": range(MANY + 1), "x": ["5"] * MANY + ["6.5"]}
        assert read(LOG, items, {"x": "number"}).items.collect()["x"][-1] == 6.5

    def test_no_number_names_file_and_line(self, read: Any) -> None:
        items = {"item_id": range(MANY + 1), "x": ["5"] * MANY + ["n/a"]}
        message = rf"items\.csv, line {MANY + 2}: .*Received: 'n/a'"
        with pytest.raises(DataError, match=message):
            read(LOG, items, {"x": "number"})
        found = read(LOG, items, {"x": "number"}, null_values=["n/a"]).items.collect()
        assert found["x"].to_list() == [5] * MANY + [None]
        found = read(LOG, items, {"x": "number"}, on_bad_row="drop").items.collect()
        assert found["x"].to_list() == [5] * MANY

    def test_decimal(self, read: Any) -> None:
        items = {"item_id": ["1", "2"], "x": ["1,5", "2"]}
        with pytest.raises(DataError, match=r"source\.decimal"):
            read(LOG, items, {"x": "number"})
        assert read(LOG, items, {"x": "number"}, decimal=",").items.collect()["x"].to_list() == [
            *(1.5, 2),
        ]

    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_a_date_of_another_form_past_the_first_rows(self, read: Any, form: str) -> None:
        items = {
            "item_id": [str(i) for i in range(MANY + 1)],
            "born": ["2020-01-02"] * MANY + ["02/01/2020"],
        }
        with pytest.raises(DataError, match="02/01/2020"):
            read(LOG, items, {"born": "age"}, form=form)
        items["born"] = ["02/01/2020"] * (MANY + 1)
        found = read(LOG, items, {"born": "age"}, form=form, date_format="%d/%m/%Y")
        assert found.items.collect()["born"].unique().to_list() == [datetime(2020, 1, 2)]

    def test_units_of_two_kinds(self, read: Any) -> None:
        times = [1_600_000_000 + i for i in range(MANY)] + [1_600_000_000_000]
        log = {"user_id": range(MANY + 1), "item_id": range(MANY + 1), "timestamp": times}
        with pytest.raises(DataError, match="times of one unit"):
            read(log)

    def test_hour_needs_no_column_of_its_own(self, read: Any) -> None:
        log = {**LOG, "timestamp": [1_600_000_000, 1_600_003_600]}
        tables = read(log, context={"hour": "hour", "weekday": "weekday"})
        assert tables.interactions.collect_schema().names() == ["user_id", "item_id", "timestamp"]


class TestIds:
    @pytest.mark.parametrize("form", ["csv", "parquet"])
    @pytest.mark.parametrize("word", ["NULL", "None", "nan", "", " ", r"\N"])
    def test_words_for_missing_ids(self, read: Any, form: str, word: str) -> None:
        log = {"user_id": ["a", "b", word], "item_id": ["1", word, "3"]}
        rows = read(log, form=form).interactions.collect()
        assert rows["user_id"].to_list() == ["a", "b", None]
        assert rows["item_id"].null_count() == 1

    def test_words_that_the_recipe_does_not_name_are_ids(self, read: Any) -> None:
        log = {"user_id": ["None", "b"], "item_id": ["1", "2"]}
        rows = read(log, null_values=["-"]).interactions.collect()
        assert rows["user_id"].to_list() == ["None", "b"]

    @pytest.mark.parametrize("written", [["12.0", "13.0"], ["12.0", "13"], ["12.", "13"]])
    def test_a_point_has_two_readings(self, read: Any, written: list[str]) -> None:
        log = {"user_id": written, "item_id": ["1", "2"]}
        with pytest.raises(DataError, match="which is 12 as a whole number") as error:
            read(log)
        assert "`source.types: {user_id: integer}`" in str(error.value)
        whole = read(log, types={"user_id": "integer"}).interactions.collect()
        assert whole["user_id"].to_list() == [12, 13]
        text = read(log, types={"user_id": "text"}).interactions.collect()
        assert text["user_id"].to_list() == written

    def test_blanks_have_two_readings(self, read: Any) -> None:
        log = {"user_id": ["a", "a "], "item_id": ["1", "2"]}
        with pytest.raises(DataError, match=r"normalize_ids: \[strip\]"):
            read(log)
        rows = read(log, normalize_ids=["strip"]).interactions.collect()
        assert rows["user_id"].to_list() == ["a", "a"]

    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_normalized(self, read: Any, form: str) -> None:
        log = {"user_id": ["U1 ", "u1"], "item_id": ["1", "2"]}
        rows = read(log, form=form, normalize_ids=["strip", "lower"]).interactions.collect()
        assert rows["user_id"].to_list() == ["u1", "u1"]

    def test_types_in_parquet(self, read: Any) -> None:
        log = {"user_id": ["007", "7.0"], "item_id": [1, 2]}
        found = read(log, form="parquet", types={"user_id": "integer", "item_id": "text"})
        assert found.interactions.collect().rows() == [(7, "1"), (7, "2")]

    def test_text_in_one_table_makes_all_text(self, read: Any) -> None:
        tables = read(LOG, {"item_id": ["1", "2", "x3"], "x": ["a"] * 3}, {"x": "category"})
        assert tables.interactions.collect()["item_id"].to_list() == ["1", "2"]
        assert tables.items.collect()["item_id"].to_list() == ["1", "2", "x3"]

    def test_zeros_in_one_table_are_not_lost(self, read: Any) -> None:
        log = {"user_id": [1, 2], "item_id": [1, 2]}
        with pytest.raises(DataError, match=r"Received: '01'.*source\.types"):
            read(log, {"item_id": ["01", "2"], "x": ["a", "b"]}, {"x": "title"}, form="parquet")

    @pytest.mark.parametrize(("dtype", "least"), [(pl.Float32, 2**24), (pl.Float64, 2**53)])
    def test_floats_too_large_for_ids(self, read: Any, dtype: Any, least: int) -> None:
        def log(top: int) -> pl.DataFrame:
            return pl.DataFrame({"user_id": pl.Series([1, top], dtype=dtype), "item_id": [1, 2]})

        assert read(log(least), form="parquet").interactions.collect()["user_id"][1] == least
        with pytest.raises(DataError, match="should hold whole ids"):
            read(log(least + 2), form="parquet")

    def test_one_column_for_both(self) -> None:
        with pytest.raises(ValidationError, match="should be two columns"):
            Table.model_validate({"interactions": {"path": "x", "user_id": "a", "item_id": "a"}})


class TestValues:
    @pytest.mark.parametrize("kind", ["category", "list"])
    def test_nothing_but_nan(self, read: Any, kind: str) -> None:
        nan = float("nan")
        values = [[nan]] * 2 if kind == "list" else [nan] * 2
        items = {"item_id": ["1", "2"], "x": values}
        with pytest.raises(DataError, match=r"'x' should hold values"):
            read(LOG, items, {"x": kind}, form="parquet")

    @pytest.mark.parametrize("kind", ["category", "list"])
    def test_integers_past_int64(self, read: Any, kind: str) -> None:
        values = pl.Series([2**63, 1], dtype=pl.UInt64)
        items = {"item_id": ["1", "2"], "x": values.reshape((2, 1)).arr.to_list()}
        if kind == "category":
            items["x"] = values
        with pytest.raises(DataError, match=r"below 2\*\*63"):
            read(LOG, items, {"x": kind}, form="parquet")
        if kind == "category":
            found = read(LOG, items, {"x": kind}, form="parquet", types={"x": "text"})
            assert found.items.collect()["x"].to_list() == [str(2**63), "1"]


class TestReading:
    def test_of_one_table(self, tmp_path: Path) -> None:
        (tmp_path / "log.txt").write_text('user_id;item_id\n1;"a\n2;b\n')
        (tmp_path / "items.csv").write_text('item_id,name\n"""a","x, y"\nb,z\n')
        (tmp_path / "scratch").mkdir()
        options = {"format": "csv", "separator": ";", "quote_char": None}
        source = {
            "interactions": {"path": str(tmp_path / "log.txt"), "reading": options},
            "items": {"path": str(tmp_path / "items.csv"), "features": {"name": "title"}},
        }
        tables = Table.model_validate(source).read(tmp_path / "scratch")
        assert tables.items is not None
        assert tables.interactions.collect()["item_id"].to_list() == ['"a', "b"]
        assert tables.items.collect().rows() == [('"a', "x, y"), ("b", "z")]

    @pytest.mark.parametrize(
        "option", [{"separator": "::"}, {"encoding": "none"}, {"quote_char": "«"}]
    )
    def test_options_that_cannot_be(self, option: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Table.model_validate({"interactions": {"path": "x"}, **option})
