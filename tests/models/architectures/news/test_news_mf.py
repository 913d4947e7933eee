"""NewsMF: the contract, what was read, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from contract import CUT_OFF, ModelContract

from towermill.errors import RecipeError
from towermill.models.architectures.news.news_mf import _means
from towermill.models.build import build_model, load_model
from towermill.models.configs.news.news_mf import NewsMFConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.evaluation.impressions import report_impressions
from towermill.models.training.train import train_model


class TestNewsMF(ModelContract):
    model = NewsMFConfig(features=("mood",))
    train = TrainConfig(epochs=12, batch_size=64, learning_rate=0.02, patience=0)
    world = "taste_impressions"
    beaten = 0.65
    resumed = NewsMFConfig(features=("mood",), l2=1e-3)
    resumed_world = "taste_impressions"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 500})

    def test_tells_clicks_from_the_rest(self, loaded: Any) -> None:
        data, model = loaded
        entries = report_impressions(model, data, data.slates("test"), (5,), 0)["entries"]
        assert entries["clicked"] == pytest.approx(0.2)
        assert entries["auroc"]["model"] > 0.95
        assert abs(entries["auroc"]["random"] - 0.5) < 0.1
        assert entries["f1"] > 0.85

    def test_probabilities_are_calibrated_to_the_click_rate(self, loaded: Any) -> None:
        data, model = loaded
        slates = data.slates("train")
        readers = model.embed_queries(data.query_frame(slates.users, slates.histories))
        shown = model.embed_items(data.items_by_id)[slates.items]
        logits = np.einsum("ed,ed->e", readers[slates.rows], shown)
        assert np.mean(1 / (1 + np.exp(-logits))) == pytest.approx(0.2, abs=0.06)


class TestWhatWasRead:
    def test_alone_finds_the_click_of_strangers(
        self, mood_impressions: Path, tmp_path: Path
    ) -> None:
        train = TrainConfig(epochs=8, batch_size=64, learning_rate=0.02, patience=0)
        found = {}
        for features in ((), ("cheerful", "gloomy")):
            config = NewsMFConfig(features=features)
            train_model(mood_impressions, config, train, tmp_path / str(len(features)), 0)
            data, model = load_model(mood_impressions, tmp_path / str(len(features)), config)
            assert isinstance(data, ImpressionData)
            report = report_impressions(model, data, data.slates("test"), (5,), 0)
            found[len(features)] = report["metrics"]["auc"]
        assert found[2] > 0.95
        assert found[0] == pytest.approx(0.5, abs=0.02)  # all alike: new articles are the average

    def test_trained_and_served_logits_agree(self, mood_impressions: Path) -> None:
        data = ImpressionData(mood_impressions)
        model: Any = build_model(data, NewsMFConfig(features=("cheerful",)))
        slates = data.slates("validation")
        rows = slates.rows
        batch = {
            "user_id": slates.users[rows],
            "history_id": slates.histories[rows],
            "item_id": slates.items,
        }
        readers = model.embed_queries(data.query_frame(slates.users, slates.histories))
        shown = model.embed_items(data.items_by_id)[slates.items]
        expected = np.einsum("ed,ed->e", readers[rows], shown)
        np.testing.assert_allclose(model.model(batch).numpy(), expected, rtol=1e-5, atol=1e-6)

    def test_means_by_hand(self) -> None:
        numbers = np.array([[0.0], [0.0], [9.0], [1.0], [2.0]], np.float32)
        histories = np.array([[3, 4, 0], [2, 4, 4], [0, 0, 0]], np.int32)
        np.testing.assert_allclose(_means(numbers, histories), [[1.5], [2.0], [0.0]])

    def test_unknown_number(self, mood_impressions: Path) -> None:
        data = ImpressionData(mood_impressions)
        with pytest.raises(RecipeError, match=r"numbers of the articles: cheerful, gloomy.*'mod'"):
            build_model(data, NewsMFConfig(features=("mod",)))


class TestQueries:
    def test_user_and_history_both_count(self, mood_impressions: Path) -> None:
        data = ImpressionData(mood_impressions)
        model: Any = build_model(data, NewsMFConfig(features=("cheerful",)))
        assert model.query_tower.schema.column_names == ["user_id", "history"]
        users, histories = np.array([3, 3, 4]), np.array([1, 2, 1])
        found = model.embed_queries(data.query_frame(users, histories))
        own, read = found[:, :10], found[:, 12]
        np.testing.assert_array_equal(own[0], own[1])
        assert (own[0] != own[2]).all()
        assert read[0] == read[2] != read[1]
        empty = data.query_frame(np.array([3]), np.array([0]))
        assert model.embed_queries(empty)[0, 12] == 0
        assert empty["history"].to_list() == [[]]
        assert empty.schema["user_id"] == pl.Int32
