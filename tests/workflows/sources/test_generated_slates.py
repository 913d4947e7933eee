"""The source of slates: reproducible, as described, and with vectors of its text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from towermill.columns import ITEM_ID, USER_ID, VECTOR
from towermill.errors import DataError
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.process.interactions import Interactions
from towermill.workflows.process.process import process
from towermill.workflows.selecting.split import Split
from towermill.workflows.sources.generated.slates import SlateLog
from towermill.workflows.tables import Tables
from towermill.workflows.text.config import TextConfig

SOURCE = SlateLog(users=150, items=200, categories=4, shown=40)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return SOURCE.read(tmp_path_factory.mktemp("slates"))


class TestLog:
    def test_same_seed_same_log(self, tables: Tables) -> None:
        again = SOURCE.log(SOURCE.world())
        assert again.equals(tables.interactions.collect())
        other = SlateLog(**{**SOURCE.model_dump(), "seed": 1})
        assert not other.log(other.world()).equals(again)

    def test_clicks_by_time_and_no_item_twice(self, tables: Tables) -> None:
        log = tables.interactions.collect()
        assert log["timestamp"].is_sorted()
        assert not log.select(USER_ID, ITEM_ID).is_duplicated().any()
        assert log[USER_ID].is_between(1, 150).all()
        assert log[ITEM_ID].is_between(1, 200).all()
        InteractionChecks.check(tables, "error")

    def test_clicks_follow_the_utilities(self, tables: Tables) -> None:
        log, world = tables.interactions.collect(), SOURCE.world()
        utility = world.utility(np.arange(150))
        clicked = utility[log[USER_ID].to_numpy() - 1, log[ITEM_ID].to_numpy() - 1]
        assert clicked.mean() > utility.mean() + utility.std()


class TestText:
    def test_neighbours_by_text_are_of_the_category(self, tables: Tables, tmp_path: Path) -> None:
        text = TextConfig(columns=("headline", "short_description"), vectors="lsa")
        process(Interactions(tables, Split(kind="random"), text=text), tmp_path)
        items = pl.read_parquet(tmp_path / "items.parquet")
        vectors = items[VECTOR].to_numpy()
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -1)
        category = items["raw_category"].to_numpy()
        share = (category[cosines.argmax(axis=1)] == category).mean()
        assert share > 0.8

    def test_missing_column(self, tables: Tables, tmp_path: Path) -> None:
        text = TextConfig(columns=("headlin",), vectors="lsa")
        with pytest.raises(DataError, match="'headlin', which the items lack"):
            process(Interactions(tables, Split(kind="random"), text=text), tmp_path)

    def test_no_items(self, tables: Tables, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the source has no items table"):
            process(
                Interactions(
                    Tables(tables.interactions),
                    Split(kind="random"),
                    text=TextConfig(vectors="lsa"),
                ),
                tmp_path,
            )
