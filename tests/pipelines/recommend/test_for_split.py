"""The lists of a held-out split: from them follow the metrics of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.pipelines.recommend.for_split import recommend_split


def answers(trained: Any, split: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the raw pairs of a split whose item is known, and those of the splits before it."""
    process = trained.stages["process"]
    users = pl.read_parquet(process / "users.parquet").select("user_id", "raw_user_id")
    items = pl.read_parquet(process / "items.parquet").select("item_id", "raw_item_id")
    splits = ["train", "validation", "test"]

    def raw(name: str) -> pl.DataFrame:
        rows = pl.read_parquet(process / name / "*.parquet").select("user_id", "item_id")
        named = rows.join(items, on="item_id").join(users, on="user_id", how="left")
        return named.select(user_id="raw_user_id", item_id="raw_item_id")

    return raw(split), pl.concat([raw(name) for name in splits[: splits.index(split)]]).unique()


def ndcg(lists: pl.DataFrame, relevant: dict[Any, set[Any]], k: int) -> float:
    """Return the mean nDCG@k over the users, a list at a time."""
    found = []
    for user, wanted in relevant.items():
        shown = lists.filter((pl.col("user_id") == user) & (pl.col("rank") <= k)).sort("rank")
        gains = [
            1 / np.log2(1 + row["rank"]) for row in shown.to_dicts() if row["item_id"] in wanted
        ]
        ideal = sum(1 / np.log2(2 + place) for place in range(min(k, len(wanted))))
        found.append(sum(gains) / ideal)
    return float(np.mean(found))


@pytest.fixture(scope="module")
def known(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny world without unknown users, whose raw ids nobody keeps."""
    return trained.changed(tmp_path_factory.mktemp("known"), split={"cold": "drop"})


class TestLists:
    def test_metrics_follow_from_them(
        self, known: Any, cli: Callable[..., Any], tmp_path: Path
    ) -> None:
        out = tmp_path / "lists.parquet"
        said = cli("recommend", known.latest, "--split", "test", "--out", out, "--json")
        assert said.code == 0
        lists = pl.read_parquet(out)
        assert lists.columns == ["user_id", "item_id", "rank", "score", "query"]
        held, seen = answers(known, "test")
        assert lists.join(seen, on=["user_id", "item_id"], how="semi").height == 0
        new = held.join(seen, on=["user_id", "item_id"], how="anti")
        relevant = {user: set(rows["item_id"]) for (user,), rows in new.group_by("user_id")}
        metrics = json.loads((known.stages["evaluate"] / "metrics.json").read_text())
        assert metrics["queries"] == len(relevant) == json.loads(said.out)["queries"]
        for k in (5, 10):
            assert ndcg(lists, relevant, k) == pytest.approx(metrics["metrics"][f"ndcg@{k}"])

    def test_of_validation_leave_out_training_alone(self, known: Any, tmp_path: Path) -> None:
        out = tmp_path / "lists.parquet"
        recommend_split(known.latest, out, "validation", 50)
        lists = pl.read_parquet(out)
        _, seen = answers(known, "validation")
        assert lists.join(seen, on=["user_id", "item_id"], how="semi").height == 0
        best = lists.filter(pl.col("query") == 0)
        assert best["rank"].to_list() == list(range(1, best.height + 1))
        assert best["score"].is_sorted(descending=True)

    def test_unknown_users_have_no_id(self, trained: Any, tmp_path: Path) -> None:
        out = tmp_path / "lists.parquet"
        written = recommend_split(trained.latest, out, k=3)
        lists = pl.read_parquet(out)
        assert lists["query"].n_unique() == written.queries
        cold = lists.filter(pl.col("user_id").is_null())["query"].n_unique()
        metrics = json.loads((trained.stages["evaluate"] / "metrics.json").read_text())
        assert cold == metrics["segments"]["cold_user"]["queries"] > 0


class TestRefused:
    def test_a_run_that_is_not_there(self, trained: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"No finished run.*Did you mean .*latest"):
            recommend_split(trained.latest.parent, tmp_path / "lists.parquet")

    def test_another_split(self, trained: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"test. Received: 'train'"):
            recommend_split(trained.latest, tmp_path / "lists.parquet", "train")

    def test_impressions(self, news: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="towermill predict"):
            recommend_split(news.latest, tmp_path / "lists.parquet")

    def test_options_that_do_not_go_together(
        self, trained: Any, cli: Callable[..., Any], tmp_path: Path
    ) -> None:
        assert cli("recommend", trained.latest, "--split", "test").code == 2
        out = ("--out", tmp_path / "lists.parquet")
        assert cli("recommend", trained.latest, "--split", "test", "--all", *out).code == 2
        assert cli("recommend", trained.latest, "--split", "test", "--keep-seen", *out).code == 2
