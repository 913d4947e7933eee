"""Impressions processed going on from an earlier run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.columns import VECTOR
from towermill.errors import DataError, RecipeError
from towermill.workflows.config import FeatureConfig
from towermill.workflows.process.impressions import Impressions
from towermill.workflows.process.process import process
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import ImpressionTables
from towermill.workflows.text.config import TextConfig

START = datetime(2024, 1, 1)
FEATURES: dict[str, Any] = {"item": {"section": "category"}}
Row = tuple[int, int | None, list[int], list[int], str]


def tables(
    rows: list[Row], histories: list[tuple[int, list[int]]], items: dict[int, tuple[str, str]]
) -> ImpressionTables:
    """Impressions (user, history, shown, clicked, split) a minute, histories and items."""
    names = ["user_id", "history_id", "inview", "clicked", "split"]
    shown = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    times = [START + timedelta(minutes=i) for i in range(shown.height)]
    shown = shown.with_columns(
        pl.col("history_id").cast(pl.Int64),
        pl.int_range(pl.len()).alias("impression_id"),
        pl.Series("timestamp", times, dtype=pl.Datetime("us")),
    )
    read = pl.DataFrame(
        [(i, user, list(read)) for i, (user, read) in enumerate(histories)],
        schema={"history_id": pl.Int64, "user_id": pl.Int64, "history": pl.List(pl.Int64)},
        orient="row",
    )
    articles = pl.DataFrame(
        [(item, title, section) for item, (title, section) in items.items()],
        schema=["item_id", "title", "section"],
        orient="row",
    )
    vectors = articles.select(
        "item_id", pl.concat_list(pl.col("item_id").cast(pl.Float32), pl.lit(1.0)).alias(VECTOR)
    )
    return ImpressionTables(shown.lazy(), read.lazy(), articles.lazy(), vectors.lazy())


def made(
    found: ImpressionTables, out: Path, earlier: Path | None = None, **options: Any
) -> dict[str, Any]:
    out.mkdir()
    events = Impressions(
        found,
        Split(kind="given"),
        FeatureConfig.model_validate({**FEATURES, "history_size": 3, **options}),
        TextConfig(title_size=4, word_dim=4, min_frequency=1),
    )
    process(events, out, earlier, 0.5)
    names = ("users", "items", "histories", "seen")
    told = {name: pl.read_parquet(out / f"{name}.parquet") for name in names}
    told["train"] = pl.read_parquet(out / "train" / "*.parquet")
    told["stats"] = json.loads((out / "stats.json").read_text())
    return {**told, "path": out}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("impressions")
    first = tables(
        [
            (1, 0, [10, 20, 30], [20], "train"),
            (2, None, [20, 10], [20], "train"),
            (1, 0, [10, 20], [10], "train"),
            (2, None, [30, 10], [30], "train"),
            (2, None, [30, 10], [30], "test"),
        ],
        [(1, [10, 30])],
        {10: ("the cat", "a"), 20: ("a dog", "b"), 30: ("the dog", "a"), 40: ("old", "b")},
    )
    then = tables(
        [
            (3, 0, [50, 60, 20], [50], "train"),
            (2, 1, [60, 50], [60], "train"),
            (3, 0, [50, 20], [50], "train"),
            (2, 1, [60, 30], [60], "train"),
            (2, 1, [60, 30], [60], "test"),
        ],
        [(3, [20, 50]), (2, [60])],
        {20: ("a new dog", "b"), 50: ("the cat again", "c"), 60: ("a bird", "a")},
    )
    one = made(first, folder / "first")
    return one, made(then, folder / "then", one["path"])


class TestArticlesAndReaders:
    def test_ids_stay(self, both: Any) -> None:
        first, then = both
        for table, key in (("items", "item_id"), ("users", "user_id")):
            ids = [key, f"raw_{key}"]
            before = first[table].select(ids)
            assert then[table].head(before.height).select(ids).equals(before)
        assert set(then["items"]["raw_item_id"].to_list()[4:]) == {50, 60}
        assert then["users"]["raw_user_id"].to_list()[2:] == [3]

    def test_old_articles_keep_what_is_known_and_new_values_win(self, both: Any) -> None:
        first, then = both
        titles = dict(then["items"].select("raw_item_id", "raw_title").iter_rows())
        assert titles[10] == "the cat"
        assert titles[20] == "a new dog"
        names = ["raw_item_id", "section", "tokens", VECTOR]
        kept = pl.col("raw_item_id").is_in([10, 30, 40])
        before = first["items"].filter(kept).select(names)
        assert then["items"].filter(kept).select(names).equals(before)
        news = dict(then["items"].select("raw_section", "section").iter_rows())
        assert news["c"] == max(news.values()) == 5  # behind a and b

    def test_categories_of_test_articles_stay_unknown(self, both: Any, tmp_path: Path) -> None:
        """Section c occurs in training; d only by the article that the test split shows."""
        new = tables(
            [(1, None, [50, 10], [50], "train"), (1, None, [70, 10], [70], "test")],
            [],
            {50: ("the cat", "c"), 70: ("a dog", "d")},
        )
        items = made(new, tmp_path / "out", both[0]["path"])["items"]
        found = dict(items.select("raw_item_id", "section").iter_rows())
        assert (found[10], found[20], found[50], found[70]) == (3, 4, 5, 2)
        assert items["item_id"].to_list() == list(range(3, 9))

    def test_tokenizer_is_kept(self, both: Any) -> None:
        files = [(side["path"] / "text" / "tokenizer.json").read_bytes() for side in both]
        assert files[0] == files[1]

    def test_clicks_sum_up(self, both: Any) -> None:
        counts = dict(both[1]["items"].select("raw_item_id", "train_count").iter_rows())
        assert counts == {10: 1, 20: 2, 30: 1, 40: 0, 50: 2, 60: 2}

    def test_latest_history_or_the_one_of_before(self, both: Any) -> None:
        items = both[1]["items"]
        raw = dict(items.select("item_id", "raw_item_id").iter_rows())
        read = {
            user: [raw[i] for i in history]
            for user, history in both[1]["users"].select("raw_user_id", "history").iter_rows()
        }
        assert read == {1: [10, 30], 2: [60], 3: [20, 50]}

    def test_seen_of_both(self, both: Any) -> None:
        items, users = both[1]["items"], both[1]["users"]
        raw = dict(items.select("item_id", "raw_item_id").iter_rows())
        who = dict(users.select("user_id", "raw_user_id").iter_rows())
        seen = {who[u]: {raw[i] for i in met} for u, met in both[1]["seen"].iter_rows()}
        assert seen == {1: {10, 20, 30}, 2: {20, 30, 60}, 3: {20, 50}}

    def test_replayed_ones_find_their_histories(self, both: Any) -> None:
        first, then = both
        assert then["stats"]["rows"]["replayed"] == 2
        assert then["train"].height == 6

        def whole(side: Any) -> list[Any]:
            histories = side["histories"]["history"].to_list()
            names = ["user_id", "inview", "clicked", "history_id"]
            rows = side["train"].select(names).iter_rows()
            return [(user, shown, clicked, histories[h]) for user, shown, clicked, h in rows]

        before = whole(first)
        assert sum(row in before for row in whole(then)) == 2

    def test_other_features(self, both: Any, tmp_path: Path) -> None:
        same = tables([(1, None, [1, 2], [1], "train")], [], {1: ("x", "y"), 2: ("z", "y")})
        with pytest.raises(RecipeError, match="Differences: section"):
            made(same, tmp_path / "out", both[0]["path"], item={})

    def test_articles_ids_of_another_type(self, both: Any, tmp_path: Path) -> None:
        same = tables([(1, None, [1, 2], [1], "train")], [], {1: ("x", "y"), 2: ("z", "y")})
        text = pl.col("inview").cast(pl.List(pl.String))
        other = replace(same, impressions=same.impressions.with_columns(text))
        with pytest.raises(DataError, match=r"items' ids .* Int64.* String"):
            made(other, tmp_path / "out", both[0]["path"])
