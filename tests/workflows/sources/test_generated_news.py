"""The world of news: reproducible, as described, and with a best AUC that is known."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.workflows.prepare.check_impressions import ImpressionChecks
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.sources.generated.news import News
from towermill.workflows.tables import ImpressionTables, Tables

SMALL: dict[str, Any] = {
    "users": 300,
    "articles": 1000,
    "impressions": 2000,
    "hidden": 100,
    "topics": 8,
    "history_length": 10,
}
TRAIN_BEGINS = datetime(2024, 1, 16)


def generate(folder: Path, **options: Any) -> tuple[News, ImpressionTables]:
    folder.mkdir(exist_ok=True)
    source = News(**{**SMALL, **options})
    tables = source.read(folder)
    assert isinstance(tables, ImpressionTables)
    return source, tables


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[News, ImpressionTables]:
    return generate(tmp_path_factory.mktemp("news"))


def auc(scores: np.ndarray, clicked: np.ndarray) -> float:
    """Return the share of pairs (clicked, not clicked) that are in order; half of a draw."""
    yes, no = scores[clicked][:, None], scores[~clicked]
    return float((yes > no).mean() + (yes == no).mean() / 2)


def mean_auc(frame: pl.DataFrame) -> float:
    rows = frame.select("scores", "inview", "clicked").iter_rows()
    return float(np.mean([auc(np.array(s), np.isin(shown, hit)) for s, shown, hit in rows]))


class TestReproducible:
    def test_same_seed_same_bytes(self, tmp_path: Path) -> None:
        digests = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            np.random.seed(len(digests))
            generate(tmp_path / name, seed=seed)
            files = sorted((tmp_path / name).rglob("*.parquet"))
            digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
        assert digests[0] == digests[1]
        assert not set(digests[0]) & set(digests[2])

    def test_hidden_changes_nothing_else(
        self, made: tuple[News, ImpressionTables], tmp_path: Path
    ) -> None:
        _, tables = generate(tmp_path / "without", hidden=0)
        with_hidden = made[1].impressions.collect()
        assert tables.impressions.collect().equals(with_hidden.filter(pl.col("split") != "hidden"))


class TestImpressions:
    def test_counts(self, made: tuple[News, ImpressionTables]) -> None:
        source, tables = made
        assert source.files() == []
        stats = ImpressionChecks.check(tables)
        assert stats.rows == 2000 + 400 + 800 + 100
        assert stats.unlabelled == 100
        assert stats.item_rows == 1000
        for clean in (
            *("without_click", "without_negative", "clicks_not_shown", "null_inview"),
            *("items_shown_without_row", "items_read_without_row"),
        ):
            assert getattr(stats, clean) == 0, clean
        assert 0.01 < stats.without_history / stats.rows < 0.1

    def test_periods(self, made: tuple[News, ImpressionTables]) -> None:
        frame = made[1].impressions.collect()
        assert frame["impression_id"].to_list() == list(range(1, 3301))
        assert frame["timestamp"].is_sorted()
        spans = frame.group_by("split", maintain_order=True).agg(
            pl.len(), pl.col("timestamp").min().alias("first"), pl.col("timestamp").max()
        )
        begin = TRAIN_BEGINS
        for (split, count, first, last), expected, days in zip(
            spans.iter_rows(),
            [("train", 2000), ("validation", 400), ("test", 800), ("hidden", 100)],
            [6, 1, 2, 1],
            strict=True,
        ):
            assert (split, count) == expected
            assert begin <= first < last < begin + timedelta(days=days)
            begin += timedelta(days=days)

    def test_slates(self, made: tuple[News, ImpressionTables]) -> None:
        frame = made[1].impressions.collect()
        shown = frame["inview"].list
        assert (shown.n_unique() == shown.len()).all()
        assert (shown.len().min(), shown.len().max()) == (5, 20)
        told = frame.filter(pl.col("split") != "hidden")["clicked"].list
        assert set(told.len()) == {1, 2}
        assert 0.01 < (told.len() == 2).mean() < 0.05
        assert (told.n_unique() == told.len()).all()

    def test_what_is_shown_is_out_and_mostly_new(self, made: tuple[News, ImpressionTables]) -> None:
        tables = made[1]
        assert tables.items is not None
        shown = (
            tables.impressions.select("split", "timestamp", item_id="inview")
            .explode("item_id")
            .join(tables.items, on="item_id")
            .collect()
        )
        assert (
            shown.height
            == tables.impressions.select(pl.col("inview").list.len().sum()).collect().item()
        )
        assert (shown["published"] < shown["timestamp"]).all()
        trained = shown.filter(pl.col("split") == "train")["item_id"].unique()
        for split in ("validation", "test"):
            part = shown.filter(pl.col("split") == split)
            assert part["item_id"].is_in(trained.implode()).mean() < 0.5, split

    def test_clicks_alone(self, tmp_path: Path) -> None:
        source = News(**SMALL, rows="clicks")
        tables = source.read(tmp_path)
        assert isinstance(tables, Tables)
        stats = InteractionChecks.check(tables)
        clicks = source.oracle().filter(pl.col("split") != "hidden")["clicked"].list.len().sum()
        assert (stats.rows, stats.items_without_row) == (clicks, 0)


class TestHistories:
    def test_grow_by_what_was_clicked(self, made: tuple[News, ImpressionTables]) -> None:
        tables = made[1]
        histories = tables.histories.collect()
        frame = tables.impressions.collect()
        early = frame.filter(pl.col("split").is_in(["train", "validation"]))
        late = frame.filter(pl.col("split").is_in(["test", "hidden"]))
        assert early["history_id"].max() < late["history_id"].min()
        user = (
            early.filter(pl.col("history_id").is_not_null())["user_id"]
            .value_counts()
            .sort("count", "user_id")["user_id"][-1]
        )
        first, second = histories.filter(pl.col("user_id") == user)["history"].to_list()
        clicked = early.filter(pl.col("user_id") == user)["clicked"].explode().to_list()
        added = [item for item in dict.fromkeys(clicked) if item not in first]
        assert second == first + added
        # An impression looks up its own user's.
        joined = frame.join(histories, on="history_id")
        assert (joined["user_id"] == joined["user_id_right"]).all()

    def test_anonymous_readers_have_none(self, made: tuple[News, ImpressionTables]) -> None:
        source, tables = made
        anonymous = np.flatnonzero(source.world().anonymous) + 1
        assert 0 < len(anonymous) < 30
        histories = tables.histories.collect()
        assert not histories["user_id"].is_in(anonymous).any()
        assert histories["user_id"].n_unique() == source.users - len(anonymous)

    def test_one_reader_of_whom_nothing_is_known(self, tmp_path: Path) -> None:
        seed = next(
            s for s in range(200) if News(**{**SMALL, "users": 1, "seed": s}).world().anonymous[0]
        )
        _, tables = generate(tmp_path, users=1, seed=seed, impressions=50)
        assert ImpressionChecks.check(tables).without_history == 50 + 10 + 20 + 100


class TestArticles:
    def test_items(self, made: tuple[News, ImpressionTables]) -> None:
        _, tables = made
        assert tables.items is not None
        items = tables.items.collect()
        assert items["item_id"].to_list() == list(range(1, 1001))
        assert items["published"].is_sorted()
        words = items["title"].str.split(" ").list.len()
        assert (words.min(), words.max()) == (5, 12)
        assert items["title"].str.contains(r"^[A-Z][a-z]+( [a-z]+)+$").all()
        assert set(items["sentiment_label"]) == {"Negative", "Neutral", "Positive"}
        assert items.group_by("category").agg(pl.col("topics").n_unique())["topics"].max() == 2
        assert list(tables.features["item"]) == ["title", "category", "sentiment_label"]

    def test_titles_tell_the_topic(self, made: tuple[News, ImpressionTables]) -> None:
        assert made[1].items is not None
        items = made[1].items.collect()
        word = pl.col("title").str.to_lowercase().str.split(" ")
        pairs = items.select(word, topic=pl.col("topics").list.first()).explode("title")
        often = pairs.filter(pl.len().over("title") >= 10)
        share = often.group_by("title").agg(
            pl.col("topic").value_counts(normalize=True).struct.field("proportion").max()
        )["proportion"]
        # Words of a topic, and words that all share.
        assert (share > 0.6).mean() > 0.2
        assert (share < 0.4).mean() > 0.2


class TestOracle:
    def test_is_of_what_is_read(self, made: tuple[News, ImpressionTables]) -> None:
        source, tables = made
        truth = source.oracle()
        told = tables.impressions.collect()
        for column in ("impression_id", "split", "inview"):
            assert truth[column].equals(told[column]), column
        assert told["clicked"].null_count() == 100
        assert truth["clicked"].null_count() == 0
        known = pl.col("split") != "hidden"
        assert truth.filter(known)["clicked"].equals(told.filter(known)["clicked"])
        # The scores are the world's, on the articles as they stand in inview.
        _, _, inview, _, scores = truth.row(0)
        user = told["user_id"][0] - 1
        expected = source.world().scores(np.array([user]), np.array([inview]) - 1)[0]
        assert np.allclose(scores, expected)

    def test_taste_decides(self) -> None:
        reached = []
        for taste in (0.0, 1.5, 4.0):
            test = News(**{**SMALL, "taste": taste}).oracle().filter(pl.col("split") == "test")
            reached.append(mean_auc(test))
        # Without tastes, appeal is left.
        assert 0.55 < reached[0] < 0.68 < 0.75 < reached[1] < 0.87 < reached[2]

    def test_clicks_are_drawn_by_softmax(self) -> None:
        truth = News(**{**SMALL, "impressions": 8000}).oracle()
        single = truth.filter(pl.col("clicked").list.len() == 1)
        chance = hit = 0.0
        for scores, inview, clicked in single.select("scores", "inview", "clicked").iter_rows():
            odds = np.exp(np.array(scores))
            odds /= odds.sum()
            chance += odds.max()
            hit += inview[int(odds.argmax())] == clicked[0]
        # The best is clicked as often as the model says: its standard error is below 0.5%.
        assert abs(hit - chance) / single.height < 0.02
