"""An earlier model's weights in one with more ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from worlds import group_world, weights_of

from towermill.columns import FIRST_ID, OOV_ID, VECTOR
from towermill.errors import DataError
from towermill.models.build import build_model
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.encoders.towers.inputs import inferred_dim
from towermill.models.training.fill_untrained import fill_untrained_rows
from towermill.models.training.grow import NEIGHBOURS, grow

KNOWN = 60
SUM = TwoTowerConfig(tower=(), embedding_dim=4)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A world, and a larger one with the same features."""
    folder = tmp_path_factory.mktemp("growth")
    small = group_world(folder / "small", features=True, users=120, items=KNOWN + 30)
    return small, group_world(folder / "large", features=True, users=150, items=120)


def vectors(items: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    return items.with_columns(pl.Series(VECTOR, rows, dtype=pl.Array(pl.Float32, rows.shape[1])))


class TestTwoTower:
    @pytest.mark.parametrize("config", [SUM, TwoTowerConfig(tower=(8,), embedding_dim=4)])
    def test_old_rows_are_exact_and_new_ones_out_of_vocabularys(
        self, worlds: tuple[Path, Path], config: TwoTowerConfig
    ) -> None:
        small, large = map(Processed, worlds)
        earlier = build_model(small, config, seed=1)
        retriever = build_model(large, config, seed=2)
        grow(retriever, large, earlier, small.items.height)
        grown = 0
        for before, after in zip(weights_of(earlier), weights_of(retriever), strict=True):
            rows = len(before)
            np.testing.assert_array_equal(after[:rows], before)
            for row in after[rows:]:
                np.testing.assert_array_equal(row, before[OOV_ID])
            grown += len(after) > rows
        assert grown == 2  # users and items

    def test_new_items_begin_at_their_nearest(self, worlds: tuple[Path, Path]) -> None:
        small, large = map(Processed, worlds)
        known, count = small.items.height, large.items.height
        content = np.random.default_rng(3).normal(size=(count, 6)).astype(np.float32)
        content[known + 1] = 0.0  # nothing is known of this one
        content[5] = 0.0
        large.items = vectors(large.items, content)
        earlier, retriever = build_model(small, SUM, seed=1), build_model(large, SUM, seed=2)
        grow(retriever, large, earlier, known)
        before = _items(earlier)
        after = _items(retriever)
        for new in range(known, count):
            if new == known + 1:
                expected = before[OOV_ID]
            else:
                unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-9)
                cosine = unit[:known] @ unit[new]
                cosine[5] = -np.inf
                nearest = np.argsort(-cosine)[:NEIGHBOURS]
                expected = before[nearest + FIRST_ID].mean(axis=0)
            np.testing.assert_allclose(after[new + FIRST_ID], expected, atol=1e-6)

    @pytest.mark.parametrize(
        "config", [TwoTowerConfig(tower=(), embedding_dim=8), TwoTowerConfig(tower=(4,))]
    )
    def test_another_architecture(self, worlds: tuple[Path, Path], config: TwoTowerConfig) -> None:
        small, large = map(Processed, worlds)
        earlier, retriever = build_model(small, config), build_model(large, SUM)
        with pytest.raises(DataError, match="must match the continued run"):
            grow(retriever, large, earlier, small.items.height)

    def test_fewer_rows(self, worlds: tuple[Path, Path]) -> None:
        small, large = map(Processed, worlds)
        earlier, retriever = build_model(large, SUM), build_model(small, SUM)
        with pytest.raises(DataError, match="must match the continued run"):
            grow(retriever, small, earlier, large.items.height)


def _items(retriever: Any) -> np.ndarray:
    table = next(w for w in retriever.item_tower.weights if w.shape[0] > 50)
    return np.asarray(table)


class TestWidth:
    def test_goes_by_the_run_that_made_the_table(self, worlds: tuple[Path, Path]) -> None:
        column = Processed(worlds[0]).schema["item_id"]
        grown = column.with_properties({"domain": {"min": 0, "max": 10**6}})
        assert inferred_dim(grown) > inferred_dim(column)
        ids = {"embedding_sizes": {"cardinality": float(column.int_domain.max + 1)}}
        assert inferred_dim(grown.with_properties(ids)) == inferred_dim(column)


class TestUntrained:
    def test_mean_is_of_both_trainings(self, worlds: tuple[Path, Path]) -> None:
        small, large = map(Processed, worlds)
        retriever = build_model(large, SUM)
        before = _items(retriever)
        ids = [d.scan("train").collect()["item_id"].to_numpy() for d in (small, large)]
        fill_untrained_rows(retriever, large, small)
        expected = before[np.concatenate(ids)].mean(axis=0)
        np.testing.assert_allclose(_items(retriever)[OOV_ID], expected, atol=1e-6)


class TestNews:
    def test_words_stay_and_categories_grow(self, news_world: Path, tmp_path: Path) -> None:
        config = NRMSConfig(heads=2, head_dim=4, attention_dim=8, features=("category",))
        data = ImpressionData(news_world)
        earlier = build_model(data, config, seed=1)
        retriever = build_model(data, config, seed=2)
        grow(retriever, data, earlier, data.items.height)
        for before, after in zip(weights_of(earlier), weights_of(retriever), strict=True):
            np.testing.assert_array_equal(after, before)
