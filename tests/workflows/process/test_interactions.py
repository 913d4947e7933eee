"""Processed data sets of tiny tables, every id and number worked out by hand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError, RecipeError
from towermill.features.config import Feature
from towermill.workflows.config import FeatureConfig

NULL, UNKNOWN = 1, 2


class TestIds:
    def test_fall_by_training_frequency_from_three(self, mill: Any, interactions: Any) -> None:
        made = mill(interactions)
        # u2 stands three times, u1 twice; item 10 thrice, 20 and 30 once each, by value.
        assert made.train["user_id"].to_list() == [4, 4, 3, 3, 3]
        assert made.train["item_id"].to_list() == [3, 4, 3, 5, 3]

    def test_vocabulary_is_of_the_training_split_alone(self, mill: Any, interactions: Any) -> None:
        made = mill(interactions)
        assert made.test["user_id"].to_list() == [UNKNOWN, UNKNOWN]  # u3 and u9
        assert made.test["item_id"].to_list() == [4, UNKNOWN]  # 20 and 99
        assert made.stats["vocabularies"] == {"user_id": 5, "item_id": 6}

    def test_are_int32_throughout(self, mill: Any, interactions: Any, items: Any) -> None:
        features = {"item": {"genre": "category", "tags": "list", "price": "number"}}
        made = mill(interactions, features, items=items)
        types = {
            "user_id": pl.Int32,
            "item_id": pl.Int32,
            "genre": pl.Int32,
            "tags": pl.List(pl.Int32),
            "price": pl.Float32,
        }
        assert dict(made.train.schema) == types
        assert dict(made.test.schema) == types
        for name, kind in types.items():
            if name != "user_id":
                assert made.items.schema[name] == kind
        assert made.users.schema["user_id"] == pl.Int32

    def test_order_of_rows_does_not_matter(self, mill: Any, interactions: Any) -> None:
        order = [4, 6, 0, 2, 5, 3, 1]
        made, shuffled = mill(interactions), mill(interactions[order], out="shuffled")
        assert made.users.equals(shuffled.users)
        assert made.items.equals(shuffled.items)

    def test_rare_ids_are_unknown(self, mill: Any, interactions: Any) -> None:
        made = mill(interactions, ids={"item_id": {"freq_threshold": 2}})
        assert made.train["item_id"].to_list() == [3, UNKNOWN, 3, UNKNOWN, 3]
        assert made.items["raw_item_id"].to_list() == [10]

    def test_max_size_counts_categories(self, mill: Any, interactions: Any) -> None:
        made = mill(interactions, ids={"item_id": {"max_size": 2}})
        assert made.train["item_id"].to_list() == [3, 4, 3, UNKNOWN, 3]

    def test_no_id_left(self, mill: Any, interactions: Any) -> None:
        with pytest.raises(DataError, match=r"vocabulary of 'user_id'.*freq_threshold"):
            mill(interactions, ids={"user_id": {"freq_threshold": 9}})

    @pytest.mark.parametrize("name", ["user_id", "item_id"])
    def test_none_may_share_an_id(self, mill: Any, interactions: Any, name: str) -> None:
        with pytest.raises(RecipeError, match=rf"{name}\.num_buckets"):
            mill(interactions, ids={name: {"num_buckets": 2}})


class TestEntityTables:
    FEATURES: dict[str, Any] = {  # noqa: RUF012
        "user": {"likes": "list", "segment": "category"},
        "item": {"genre": "category", "tags": "list", "year": "category", "title": "title"},
    }

    @pytest.fixture
    def made(self, mill: Any, interactions: Any, items: Any, users: Any) -> Any:
        return mill(interactions, self.FEATURES, items=items, users=users)

    def test_items_stand_in_the_order_of_encoded_ids(self, made: Any) -> None:
        assert made.items.columns == [
            *("item_id", "genre", "tags", "year"),
            *("raw_item_id", "raw_genre", "raw_tags", "raw_year", "raw_title", "train_count"),
        ]
        assert made.items["item_id"].to_list() == [3, 4, 5]
        assert made.items["raw_item_id"].to_list() == [10, 20, 30]
        assert made.items["raw_title"].to_list() == ["Ten", "Twenty", "Thirty"]
        assert made.items["raw_year"].to_list() == [1, 2, None]
        assert made.items["train_count"].to_list() == [3, 1, 1]

    def test_items_are_encoded_as_in_the_training_rows(self, made: Any) -> None:
        shared = ["item_id", "genre", "tags", "year"]
        rows = made.train.select(shared).unique("item_id").sort("item_id")
        assert rows.equals(made.items.select(shared))

    def test_missing_category_is_the_null_id(self, made: Any) -> None:
        assert made.items["year"].to_list() == [3, 4, NULL]
        assert made.users["segment"].to_list() == [NULL, 3]

    def test_users_keep_raw_nulls_and_have_empty_lists(self, made: Any) -> None:
        assert made.users["raw_user_id"].to_list() == ["u2", "u1"]
        assert made.users["raw_likes"].to_list() == [None, ["x", "q"]]
        assert made.users["likes"].to_list()[0] == []
        assert made.users["raw_segment"].to_list() == [None, 1]

    def test_ids_without_a_row_have_null_features(self, made: Any) -> None:
        unknown = made.test.row(1, named=True)  # user u9 and item 99 stand in no table
        assert unknown["segment"] == unknown["genre"] == unknown["year"] == NULL
        assert unknown["likes"] == unknown["tags"] == []

    def test_titles_are_no_model_input(self, made: Any) -> None:
        assert "title" not in made.train.columns
        assert "title" not in (made.path / "schema.pbtxt").read_text()

    def test_training_item_without_a_row(self, mill: Any, interactions: Any, items: Any) -> None:
        features = {"item": {"genre": "category", "price": "number", "title": "title"}}
        made = mill(interactions, features, items=items.filter(pl.col("item_id") != 10))
        assert made.items["raw_item_id"].to_list() == [10, 20, 30]
        assert made.items["genre"].to_list() == [NULL, 4, 3]
        assert made.items["raw_title"].to_list() == [None, "Twenty", "Thirty"]

    def test_no_tables_at_all(self, mill: Any, interactions: Any) -> None:
        made = mill(interactions)
        assert made.items.columns == ["item_id", "raw_item_id", "train_count"]
        assert made.users.columns == ["user_id", "raw_user_id", "train_count"]

    def test_inputs_are_not_changed(
        self, mill: Any, interactions: Any, items: Any, users: Any
    ) -> None:
        before = [frame.clone() for frame in (interactions, items, users)]
        mill(interactions, self.FEATURES, items=items, users=users)
        for frame, copy in zip((interactions, items, users), before, strict=True):
            assert frame.equals(copy)


class TestSharedVocabulary:
    def test_item_category_and_list_of_a_user(
        self, mill: Any, interactions: Any, items: Any, users: Any
    ) -> None:
        features = {
            "item": {"genre": "category"},
            "user": {"likes": {"kind": "list", "shared_with": "genre"}},
        }
        made = mill(interactions, features, items=items, users=users)
        # In the training rows x stands 4 + 2 times, q twice, y once.
        assert made.items["genre"].to_list() == [3, 5, 3]
        assert made.users["likes"].to_list() == [[], [3, 4]]
        assert made.test["likes"].to_list() == [[5], []]
        assert made.stats["vocabularies"]["genre"] == made.stats["vocabularies"]["likes"] == 6

    def test_history_of_item_ids(self, mill: Any, interactions: Any) -> None:
        history = [[10], [10, 20], [], [20, 30, 10], None, [99], [20]]
        frame = interactions.with_columns(
            pl.Series("history", history, dtype=pl.List(pl.Int64)),
        )
        made = mill(
            frame,
            context={"history": {"kind": "list", "shared_with": "item_id", "max_length": 2}},
        )
        assert made.items["raw_item_id"].to_list() == [10, 20, 30]
        assert made.train["item_id"].to_list() == [3, 4, 3, 5, 3]
        # max_length keeps the first two.
        assert made.train["history"].to_list() == [[3], [3, 4], [], [4, 5], []]
        assert made.test["history"].to_list() == [[UNKNOWN], [4]]

    def test_an_item_only_in_a_history_is_in_the_catalogue(
        self, mill: Any, interactions: Any
    ) -> None:
        frame = interactions.with_columns(history=pl.lit([77]))
        made = mill(frame, context={"history": {"kind": "list", "shared_with": "item_id"}})
        assert made.items["raw_item_id"].to_list() == [77, 10, 20, 30]
        assert made.items["item_id"].to_list() == [3, 4, 5, 6]


class TestPositive:
    def test_left_out_rows_count_for_the_vocabulary(self, mill: Any, interactions: Any) -> None:
        frame = interactions.with_columns(click=pl.Series([1, 1, 0, 0, 1, 0, 1]))
        made = mill(frame, positive={"click": 1})
        assert made.train.select("user_id", "item_id").rows() == [(4, 3), (4, 4), (3, 3)]
        assert made.items["raw_item_id"].to_list() == [10, 20, 30]  # 30 was never clicked
        assert made.items["train_count"].to_list() == [3, 1, 1]
        assert made.stats["rows"] == {"train": 3, "test": 1}

    def test_missing_signal_is_not_positive(self, mill: Any, interactions: Any) -> None:
        frame = interactions.with_columns(click=pl.Series([1, None, 0, 0, 1, 0, 1]))
        assert mill(frame, positive={"click": 1}).train["item_id"].to_list() == [3, 3]

    def test_all_named_signals_must_be(self, mill: Any, interactions: Any) -> None:
        frame = interactions.with_columns(
            click=pl.Series([1, 1, 0, 0, 1, 0, 1]), stars=pl.Series([5, 1, 5, 5, 4, 5, 5])
        )
        made = mill(frame, positive={"click": 1, "stars": 4})
        assert made.train["stars"].to_list() == [5, 4]

    def test_none_left_in_a_split(self, mill: Any, interactions: Any) -> None:
        frame = interactions.with_columns(click=pl.Series([1, 1, 0, 0, 1, 0, 0]))
        with pytest.raises(DataError, match="left none in test"):
            mill(frame, positive={"click": 1})

    @pytest.mark.parametrize("name", ["clik", "item_id", "genre"])
    def test_names_a_signal(self, mill: Any, interactions: Any, items: Any, name: str) -> None:
        with pytest.raises(DataError, match="should name signals"):
            mill(interactions, {"item": {"genre": "category"}}, items=items, positive={name: 1})


class TestCold:
    @pytest.fixture
    def frame(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Test rows: both known; the user cold; the item cold; both cold."""
        test = pl.DataFrame(
            {"user_id": ["u1", "u7", "u2", "u8"], "item_id": [30, 10, 88, 99], "split": "test"}
        )
        return pl.concat([interactions.filter(pl.col("split") == "train"), test])

    def test_drop(self, mill: Any, frame: Any) -> None:
        made = mill(frame, split={"cold": "drop"})
        assert made.test.rows() == [(4, 5)]

    def test_keep(self, mill: Any, frame: Any) -> None:
        made = mill(frame, split={"cold": "keep"})
        assert made.test.rows() == [(4, 5), (UNKNOWN, 3), (3, UNKNOWN), (UNKNOWN, UNKNOWN)]

    def test_flag(self, mill: Any, frame: Any) -> None:
        made = mill(frame, split={"cold": "flag"})
        assert made.test["cold_user"].to_list() == [False, True, False, True]
        assert made.test["cold_item"].to_list() == [False, False, True, True]
        assert not made.train["cold_user"].any()
        assert made.train.columns == made.test.columns

    def test_flags_are_no_model_input(self, mill: Any, frame: Any) -> None:
        from towermill.models.data.interactions import Processed

        data = Processed(mill(frame, split={"cold": "flag"}).path)
        assert data.query_schema.column_names == ["user_id"]
        assert data.item_schema.column_names == ["item_id"]


class TestFolder:
    @pytest.fixture
    def made(self, mill: Any, interactions: Any, items: Any, users: Any) -> Any:
        at = datetime(2024, 1, 1)
        frame = interactions.with_columns(
            timestamp=pl.Series([at + timedelta(days=d) for d in range(7)]), stars=pl.lit(5)
        )
        features = {
            "item": {"genre": "category", "tags": "list", "price": "number", "title": "title"},
            "user": {"likes": {"kind": "list", "shared_with": "genre"}, "segment": "category"},
        }
        return mill(frame, features, items=items, users=users)

    def test_holds_what_it_should_and_no_scratch(self, made: Any) -> None:
        assert sorted(p.name for p in made.path.iterdir()) == [
            *("items.parquet", "schema.pbtxt", "seen.parquet", "stats.json"),
            *("test", "train", "users.parquet", "workflow"),
        ]
        assert sorted(p.name for p in (made.path / "train").iterdir()) == [
            *("_metadata", "part_00000.parquet", "schema.pbtxt"),
        ]

    def test_no_text_names_the_folder_or_scratch(self, made: Any) -> None:
        for path in made.path.rglob("*"):
            if path.suffix in (".pbtxt", ".json", ".txt", ".yaml"):
                text = path.read_text()
                assert str(made.path.parent) not in text, path
                assert "scratch" not in text, path

    def test_stats(self, made: Any) -> None:
        columns = made.stats["columns"]["item"]
        assert {name: told["kind"] for name, told in columns.items()} == {
            **{"genre": "category", "tags": "list", "price": "number", "title": "title"},
        }
        assert made.stats == {
            "version": 2,
            "text": None,
            "parts": {},
            "summary": made.stats["summary"],
            "columns": made.stats["columns"],
            "rows": {"train": 5, "test": 2},
            "title": "title",
            "users": 2,
            "items": 3,
            # x, q and y share one; u1's x and q stand in two rows.
            "vocabularies": {
                **{"user_id": 5, "likes": 6, "segment": 4},
                **{"item_id": 6, "genre": 6, "tags": 5},
            },
            "as_of": "2024-01-05T00:00:00",
        }

    def test_seen_is_of_the_whole_log(self, mill: Any, interactions: Any, tmp_path: Path) -> None:
        stars = pl.Series("stars", [1.0, *[5.0] * (interactions.height - 1)])
        log = interactions.with_columns(stars.alias("rating"))
        made = mill(log, filters={"min_rating": 4}, out="rated")
        seen = pl.read_parquet(tmp_path / "rated" / "seen.parquet")
        for user, raw in made.users.select("user_id", "raw_user_id").iter_rows():
            met = log.filter(pl.col("user_id") == raw)["item_id"].to_list()
            ids = made.items.filter(pl.col("raw_item_id").is_in(met))["item_id"].to_list()
            assert seen.filter(pl.col("user_id") == user)["item_id"].item().to_list() == sorted(ids)

    def test_timestamps_are_not_passed_on_and_signals_are(self, made: Any) -> None:
        assert "timestamp" not in made.train.columns
        assert made.train["stars"].to_list() == [5] * 5

    def test_saved_workflow_encodes_alike_in_a_fresh_process_and_place(
        self,
        made: Any,
        tmp_path: Path,
        python: Callable[..., subprocess.CompletedProcess[str]],
    ) -> None:
        place = tmp_path / "elsewhere"
        shutil.copytree(made.path, place)
        expected = made.items.select("item_id", "genre", "tags", "price")
        expected.write_parquet(tmp_path / "expected.parquet")
        shutil.rmtree(made.path)
        python(f"""
import towermill
import nvtabular as nvt, pandas as pd, polars as pl
workflow = nvt.Workflow.load({str(place / "workflow")!r}).get_subworkflow("item")
raw = pd.DataFrame({{
    "item_id": [10, 20, 30], "genre": ["x", "y", "x"], "likes": [None, None, None],
    "tags": [["a", "b"], ["b"], []], "price": [1.0, None, 3.0],
}})
made = workflow.transform(nvt.Dataset(raw)).compute()
expected = pl.read_parquet("expected.parquet")
for name in expected.columns:
    found = [v.tolist() if hasattr(v, "tolist") else v for v in made[name]]
    assert found == expected[name].to_list(), (name, found)
""")


class TestStringAndIntegerIds:
    @pytest.mark.parametrize("dtype", [pl.Int64, pl.String])
    def test_raw_ids_keep_their_type(self, mill: Any, interactions: Any, dtype: Any) -> None:
        made = mill(interactions.with_columns(pl.col("item_id").cast(dtype)))
        assert made.items.schema["raw_item_id"] == dtype
        assert made.items["raw_item_id"].cast(pl.Int64).to_list() == [10, 20, 30]


class TestRefused:
    def test_column_that_the_table_lacks(self, mill: Any, interactions: Any, items: Any) -> None:
        with pytest.raises(DataError, match=r"'gerne'.*Did you mean 'genre'"):
            mill(interactions, {"item": {"gerne": "category"}}, items=items)

    def test_features_of_a_table_that_is_not_there(self, mill: Any, interactions: Any) -> None:
        with pytest.raises(DataError, match="no columns at all"):
            mill(interactions, {"user": {"segment": "category"}})

    @pytest.mark.parametrize("kind", ["hour", "weekday"])
    def test_moment_without_a_timestamp(self, mill: Any, interactions: Any, kind: str) -> None:
        with pytest.raises(DataError, match="needs a timestamp"):
            mill(interactions, {"context": {"h": kind}})

    def test_age_without_a_timestamp(self, mill: Any, interactions: Any, items: Any) -> None:
        with pytest.raises(DataError, match="needs a timestamp"):
            mill(interactions, {"item": {"released": "age"}}, items=items)

    def test_text_is_no_number(self, mill: Any, interactions: Any, items: Any) -> None:
        with pytest.raises(DataError, match=r"'genre' should hold numbers"):
            mill(interactions, {"item": {"genre": "number"}}, items=items)

    @pytest.mark.parametrize(
        ("value", "log", "wanted"),
        [(float("inf"), False, "finite numbers"), (-1.0, True, "above -1")],
    )
    def test_a_number_that_would_spoil_the_rest(
        self, mill: Any, interactions: Any, items: Any, value: float, log: bool, wanted: str
    ) -> None:
        table = items.with_columns(price=pl.lit(value))
        with pytest.raises(DataError, match=rf"item\.price.*{wanted}.*In {len(items)} rows"):
            mill(interactions, {"item": {"price": {"kind": "number", "log": log}}}, items=table)

    @pytest.mark.parametrize("column", [None, []])
    def test_a_feature_without_a_value(
        self, mill: Any, interactions: Any, items: Any, column: Any
    ) -> None:
        kind, dtype = ("list", pl.List(pl.String)) if column == [] else ("category", pl.String)
        table = items.with_columns(pl.lit(column, dtype).alias("v"))
        with pytest.raises(DataError, match=r"'v' should have values"):
            mill(interactions, {"item": {"v": kind}}, items=table)

    @pytest.mark.parametrize(
        "name", ["release date", "a.b", "é", "1abc", "class", "self", "labels", "x__values", "_x"]
    )
    def test_names_that_no_model_can_take(self, name: str) -> None:
        with pytest.raises(RecipeError, match="name of a model input should be"):
            FeatureConfig().over({"item": {name: Feature()}})

    @pytest.mark.parametrize("name", ["year", "item_year", "a1", "Year_2", "x_"])
    def test_names_that_it_can(self, name: str) -> None:
        assert FeatureConfig().over({"item": {name: Feature()}})["item"] == {name: Feature()}

    def test_a_title_may_be_named_anything(self) -> None:
        title = Feature(kind="title")
        assert FeatureConfig().over({"item": {"the title": title}})["item"] == {"the title": title}

    @pytest.mark.parametrize("name", ["cold_user", "train_count", "__row"])
    def test_signals_that_are_kept(self, mill: Any, interactions: Any, name: str) -> None:
        with pytest.raises(DataError, match=f"signal '{name}'"):
            mill(interactions.with_columns(pl.lit(1).alias(name)))

    @pytest.mark.parametrize("name", ["raw_x", "split", "train_count"])
    def test_names_that_are_kept(self, mill: Any, interactions: Any, items: Any, name: str) -> None:
        with pytest.raises(RecipeError, match=f"'{name}'.*are reserved"):
            mill(interactions, {"item": {name: "category"}}, items=items)

    def test_name_in_two_tables(self, mill: Any, interactions: Any, items: Any) -> None:
        frame = interactions.with_columns(price=pl.lit(1.0))
        with pytest.raises(DataError, match=r"'price', which the interactions have as well"):
            mill(frame, {"item": {"price": "number"}}, items=items)

    def test_nothing_left_by_filters(self, mill: Any, interactions: Any) -> None:
        with pytest.raises(DataError, match="left 0 of 7"):
            mill(interactions, filters={"min_user": 100})


class TestSequences:
    def test_items_are_in_the_order_of_time_whatever_the_order_of_rows(self, mill: Any) -> None:
        rng = np.random.default_rng(0)
        frame = pl.DataFrame(
            {
                "user_id": rng.integers(0, 6, 300),
                "item_id": rng.integers(0, 40, 300),
                "timestamp": rng.permutation(300),
            }
        ).with_columns(
            pl.col("timestamp").cast(pl.Datetime("us")),
            split=pl.when(pl.col("timestamp") < 200)
            .then(pl.lit("train"))
            .when(pl.col("timestamp") < 250)
            .then(pl.lit("validation"))
            .otherwise(pl.lit("test")),
        )
        made = mill(frame, history=True)
        ids = dict(made.items.select("raw_item_id", "item_id").rows())
        users = dict(made.users.select("user_id", "raw_user_id").rows())
        for row in pl.read_parquet(made.path / "sequences.parquet").iter_rows(named=True):
            own = frame.filter(pl.col("user_id") == users[row["user_id"]]).sort("timestamp")
            for split in ("train", "validation", "test"):
                items = own.filter(pl.col("split") == split)["item_id"]
                assert row[split] == [ids[item] for item in items if item in ids]
