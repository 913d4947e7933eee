"""Baselines of the catalogue: what they read, and that they are the models of their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from worlds import evaluate_baselines

from towermill.columns import FIRST_ID, HISTORY
from towermill.models.baselines import BASELINES, DEFAULT
from towermill.models.baselines.base import Given
from towermill.models.baselines.ease import Ease
from towermill.models.build import load_model
from towermill.models.configs import MODELS
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import rank_baselines
from towermill.models.training.train import train_model


class TestHistories:
    def test_are_those_of_the_queries(self, history_data: Processed) -> None:
        queries = history_data.queries("test")
        found = Given(history_data).histories(queries).toarray()
        for row, ids in enumerate(queries.features[HISTORY].to_list()):
            assert set(np.flatnonzero(found[row]) + FIRST_ID) == set(ids)
        assert found.shape == (len(queries), history_data.items.height)

    def test_without_them_are_the_training_items(self, id_world: Path) -> None:
        data = Processed(id_world)
        queries = data.queries("test")
        found = Given(data).histories(queries)
        assert np.diff(found.indptr).tolist() == [10] * len(queries)


class TestScores:
    @pytest.mark.parametrize("name", ["ease", "item_knn", "als"])
    def test_are_those_of_the_model(self, name: str, history_world: Path, tmp_path: Path) -> None:
        if name == "als":
            pytest.importorskip("implicit")
        config = MODELS.get(name)()
        train_model(history_world, config, TrainConfig(), tmp_path, 0)
        data, model = load_model(history_world, tmp_path, config)
        queries = data.queries("test")
        found = BASELINES.get(name)().scores(Given(data), queries)(3, 11).copy()
        expected = model.scores(queries.features, data.catalogue)(3, 11).copy()
        for row in range(8):  # of its own items, only the baseline leaves out what EASE does
            ids = queries.features[HISTORY][row + 3].unique()
            for scores in (found, expected):
                scores[row, data.positions(ids)] = 0
        np.testing.assert_allclose(found, expected, atol=2e-3 if name == "als" else 1e-4)

    @pytest.mark.parametrize("name", ["ease", "item_knn", "als"])
    def test_find_the_group(self, name: str, id_world: Path) -> None:
        if name == "als":
            pytest.importorskip("implicit")
        data = Processed(id_world)
        found = evaluate_baselines(data, data.queries("test"), (10,), 0, names=(name,))
        assert found[name]["recall@10"] > 0.95


class TestDefault:
    def test_leaves_ease_out_of_large_data(
        self, id_world: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = Processed(id_world)
        queries = data.queries("test")
        assert list(rank_baselines(None, Given(data), queries, 5)) == list(DEFAULT)
        monkeypatch.setattr(Ease, "most_items", 100)
        assert list(rank_baselines(None, Given(data), queries, 5)) == ["popularity", "random"]
        assert list(rank_baselines(["ease"], Given(data), queries, 5)) == ["ease"]

    def test_ease_chooses_its_weight_on_validation(
        self, id_world: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = Processed(id_world)
        given = Given(data, validation=data.queries("validation"))
        with caplog.at_level("DEBUG", "towermill.models.baselines"):
            Ease().scores(given, data.queries("test"))
        assert len(caplog.messages) == len(Ease.l2)


class TestEase:
    def test_an_item_adds_nothing_to_its_own_score(self, history_data: Processed) -> None:
        given = Given(history_data)
        matrix = given.matrix.toarray().astype(np.float64)
        p = np.linalg.inv(matrix.T @ matrix + 300 * np.eye(matrix.shape[1]))
        weights = -p / np.diag(p)
        np.fill_diagonal(weights, 0)
        found = Ease().of_histories(Ease().fit(given), given.matrix[:5])
        np.testing.assert_allclose(found, matrix[:5] @ weights, atol=1e-5)
