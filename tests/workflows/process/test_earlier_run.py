"""Processing that goes on from an earlier run: what stays, what is added, what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError, RecipeError
from towermill.models.data.interactions import Processed
from towermill.workflows.graph.workflow import Workflow

FEATURES: dict[str, Any] = {
    "item": {"genre": "category", "price": "number", "title": "title"},
    "user": {"segment": "category"},
}
Go = Callable[..., Any]


def log(*rows: tuple[str, int, str]) -> pl.DataFrame:
    """User, item and split; one a day."""
    frame = pl.DataFrame(list(rows), ["user_id", "item_id", "split"], orient="row")
    days = [datetime(2024, 1, 1 + day) for day in range(frame.height)]
    return frame.with_columns(pl.Series("timestamp", days, dtype=pl.Datetime("us")))


def new_log() -> pl.DataFrame:
    return log(
        ("u7", 50, "train"),
        ("u7", 60, "train"),
        ("u1", 60, "train"),
        ("u8", 60, "train"),
        ("u2", 20, "test"),  # neither stands in the new training rows
        ("u9", 60, "test"),
    )


def new_items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [60, 50, 20],
            "genre": ["new", "x", "z"],
            "price": [5.0, 7.0, 2.0],
            "title": ["Sixty", "Fifty", "Twenty again"],
        }
    )


def users() -> pl.DataFrame:
    return pl.DataFrame({"user_id": ["u1", "u2"], "segment": [1, 2]})


@pytest.fixture(scope="module")
def first(shared_mill: Any) -> Any:
    """Not to be written to."""
    rows = [("u1", 10), ("u1", 20), ("u2", 10), ("u2", 30), ("u2", 10), ("u3", 20), ("u9", 99)]
    parts = ["train"] * 5 + ["test"] * 2
    frame = pl.DataFrame(
        [(*pair, part) for pair, part in zip(rows, parts, strict=True)],
        ["user_id", "item_id", "split"],
        orient="row",
    )
    items = pl.DataFrame(
        {
            "item_id": [10, 20, 30, 40],
            "genre": ["x", "y", "x", "z"],
            "price": [1.0, None, 3.0, 9.0],
            "year": [1, 2, None, 4],
            "title": ["Ten", "Twenty", "Thirty", "Forty"],
        }
    )
    return shared_mill(frame, FEATURES, items=items, users=users(), out="first")


@pytest.fixture(scope="module")
def second(shared_mill: Any, first: Any) -> Any:
    """The new log and items, half as many rows replayed."""
    return shared_mill(
        new_log(), FEATURES, items=new_items(), earlier=first, share=0.5, out="second"
    )


@pytest.fixture
def go(mill: Any, first: Any) -> Go:
    """Go on from `first`, on the new log and items unless told otherwise."""

    def then(frame: pl.DataFrame | None = None, **options: Any) -> Any:
        features = options.pop("features", FEATURES)
        options = {"earlier": first, "items": new_items(), **options}
        return mill(new_log() if frame is None else frame, features, **options)

    return then


def as_bytes(table: pl.DataFrame, key: str, rows: int) -> bytes:
    buffer = io.BytesIO()
    table.head(rows).select(key, f"raw_{key}").write_parquet(buffer)
    return buffer.getvalue()


class TestIds:
    @pytest.mark.parametrize(("name", "key"), [("users", "user_id"), ("items", "item_id")])
    def test_tables_of_old_ids_are_equal_to_the_byte(
        self, second: Any, first: Any, name: str, key: str
    ) -> None:
        before, after = getattr(first, name), getattr(second, name)
        assert after.height > before.height
        wanted = as_bytes(before, key, before.height)
        assert as_bytes(after, key, before.height) == wanted

    def test_new_ones_stand_behind_by_frequency(self, second: Any) -> None:
        assert second.items["raw_item_id"].to_list() == [10, 20, 30, 60, 50]
        assert second.items["item_id"].to_list() == [3, 4, 5, 6, 7]
        assert second.users["raw_user_id"].to_list() == ["u2", "u1", "u7", "u8"]

    def test_categories_of_features_too(self, second: Any, first: Any) -> None:
        before = dict(first.items.select("raw_genre", "genre").iter_rows())
        after = dict(second.items.select("raw_genre", "genre").iter_rows())
        assert before == {"x": 3, "y": 4}
        assert after == {"x": 3, "z": 2, "new": 5}  # z stands in no training row

    def test_chain_of_two(self, second: Any, mill: Any) -> None:
        rows = log(("u9", 70, "train"), ("u1", 10, "train"), ("u9", 10, "test"))
        third = mill(rows, FEATURES, earlier=second, out="third")
        for name, key in (("users", "user_id"), ("items", "item_id")):
            before, after = getattr(second, name), getattr(third, name)
            assert after.height == before.height + 1
            wanted = as_bytes(before, key, before.height)
            assert as_bytes(after, key, before.height) == wanted

    def test_old_and_new_rows_together(self, go: Go, interactions: Any) -> None:
        both = pl.concat([interactions, new_log().drop("timestamp")])
        made = go(both)
        assert made.items["raw_item_id"].to_list()[:3] == [10, 20, 30]
        assert made.items["raw_item_id"].to_list()[3:] == [60, 50]


class TestFeatures:
    def test_what_the_new_data_lacks_is_kept(self, go: Go) -> None:
        made = go(items=new_items().filter(pl.col("item_id") > 40))
        assert made.items["raw_title"].to_list()[:3] == ["Ten", "Twenty", "Thirty"]
        assert made.users["raw_segment"].to_list() == [2, 1, None, None]

    def test_new_values_win(self, second: Any) -> None:
        items = second.items
        assert items["raw_title"].to_list()[1] == "Twenty again"
        assert items["raw_genre"].to_list()[1] == "z"

    def test_without_any_items_table(self, go: Go) -> None:
        made = go(items=None)
        assert made.items["raw_genre"].to_list() == ["x", "y", "x", None, None]

    def test_old_items_in_new_rows_have_their_features(self, go: Go) -> None:
        rows = log(("u1", 10, "train"), ("u1", 60, "train"), ("u1", 20, "test"))
        made = go(rows, items=new_items().filter(pl.col("item_id") == 60))
        assert dict(made.train.select("item_id", "genre").iter_rows()) == {3: 3, 6: 5}

    def test_numbers_are_measured_as_before(self, second: Any, first: Any) -> None:
        assert second.items["price"].to_list()[0] == first.items["price"].to_list()[0]

    def test_filters_take_no_old_item_away(self, go: Go) -> None:
        made = go(filters={"min_item": 2}, split={"cold": "keep"})
        assert made.items["raw_title"].to_list()[:3] == ["Ten", "Twenty again", "Thirty"]


class TestCounts:
    def test_sum_up(self, second: Any) -> None:
        assert second.items["train_count"].to_list() == [3, 1, 1, 3, 1]
        assert second.items["train_rows"].to_list() == [3, 1, 1, 3, 1]
        assert second.users["train_count"].to_list() == [3, 3, 2, 1]

    def test_popularity_is_of_all_runs_and_negatives_of_this_one(self, second: Any) -> None:
        data = Processed(second.path)
        assert data.item_counts.tolist() == [3, 1, 1, 3, 1]
        assert data.id_counts.sum() == 6  # four rows, and two that are replayed

    def test_seen_holds_old_and_new_pairs(self, second: Any, first: Any) -> None:
        seen = dict(pl.read_parquet(second.path / "seen.parquet").iter_rows())
        assert seen == {3: [3, 4, 5], 4: [3, 4, 6], 5: [6, 7], 6: [6]}
        before = (second.path / "seen_before.parquet").read_bytes()
        assert before == (first.path / "seen.parquet").read_bytes()

    def test_evaluation_leaves_out_what_was_met_before(self, go: Go) -> None:
        rows = log(("u1", 60, "train"), ("u1", 10, "test"), ("u1", 30, "test"))
        data = Processed(go(rows).path)
        queries = data.queries("test")
        assert queries.repeated == 1  # u1 had met 10
        assert data.queries("test", filter_seen=False).repeated == 0


class TestCold:
    def test_old_ids_are_not_cold(self, go: Go) -> None:
        made = go(split={"cold": "drop"})
        assert made.test.select("user_id", "item_id").rows() == [(3, 4)]

    def test_flags(self, go: Go) -> None:
        made = go(split={"cold": "flag"})
        assert made.test.select("cold_user", "cold_item").rows() == [(False, False), (True, False)]


class TestReplay:
    def test_rows_stand_among_the_new_ones(self, second: Any, first: Any) -> None:
        assert second.stats["rows"] == {"train": 4, "test": 2, "replayed": 2}
        names = ["user_id", "item_id", "genre"]
        rows = second.train.select(names).rows()
        for new in [(5, 7, 3), (5, 6, 5), (4, 6, 5), (6, 6, 5)]:
            rows.remove(new)
        assert len(rows) == 2
        assert set(rows) <= set(first.train.select(names).rows())

    def test_none(self, go: Go) -> None:
        made = go()
        assert made.train.height == made.stats["rows"]["train"] == 4
        assert "replayed" not in made.stats["rows"]

    def test_no_more_than_there_are(self, go: Go) -> None:
        assert go(share=9.0).stats["rows"]["replayed"] == 5

    def test_files_are_as_before(self, second: Any, first: Any) -> None:
        part = "train/part_00000.parquet"
        for made in (first, second):
            files = sorted(p.name for p in (made.path / "train").iterdir())
            assert files == ["_metadata", "part_00000.parquet", "schema.pbtxt"]
        before = pl.read_parquet_schema(first.path / part)
        assert pl.read_parquet_schema(second.path / part) == before

    def test_signals_that_were_not_there_are_null(self, go: Go) -> None:
        made = go(new_log().with_columns(stars=pl.lit(5)), share=1.0)
        assert made.train["stars"].null_count() == 4


class TestWidths:
    def test_tables_stay_as_wide_as_they_were(self, second: Any, first: Any) -> None:
        def cardinalities(made: Any) -> dict[str, Any]:
            schema = Processed(made.path).schema
            sizes = {c.name: c.properties.get("embedding_sizes") for c in schema}
            return {name: size["cardinality"] for name, size in sizes.items() if size}

        assert cardinalities(first) == {"user_id": 5, "segment": 5, "item_id": 6, "genre": 5}
        assert cardinalities(second) == cardinalities(first)
        assert Processed(second.path).schema["item_id"].int_domain.max == 7


class TestRefused:
    @pytest.mark.parametrize(
        ("item", "match"),
        [
            ({"genre": "category", "title": "title"}, "genre, price, title. Differences: price"),
            ({**FEATURES["item"], "year": "category"}, "Differences: year"),
            ({**FEATURES["item"], "price": {"kind": "number", "log": True}}, "Differences: price"),
            (dict(reversed(FEATURES["item"].items())), "order .*: genre, price, title"),
        ],
    )
    def test_other_features(self, go: Go, item: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            go(features={**FEATURES, "item": item})

    def test_ids_of_another_type(self, go: Go) -> None:
        rows = new_log().with_columns(pl.col("item_id").cast(pl.String))
        with pytest.raises(DataError, match=r"items' ids .*type Int64.*is String"):
            go(rows)

    def test_run_of_an_older_version(self, mill: Any, tmp_path: Path) -> None:
        old = mill(log(("u1", 1, "train"), ("u1", 1, "test")), out="old")
        (old.path / "stats.json").write_text("{}")
        with pytest.raises(DataError, match="older Towermill"):
            mill(new_log(), earlier=old)


class TestEarlierIsLeftAlone:
    def test_every_file(self, mill: Any, first: Any) -> None:
        def content() -> dict[Path, bytes]:
            return {p: p.read_bytes() for p in sorted(first.path.rglob("*")) if p.is_file()}

        before = content()
        made = mill(new_log(), FEATURES, items=new_items(), earlier=first, share=1.0)
        assert content() == before
        workflow = Workflow.load(made.path / "workflow")
        assert workflow.output_schema["item_id"].int_domain.max == 7
