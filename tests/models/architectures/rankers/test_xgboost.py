"""Gradient-boosted trees: the contract, and the graph against XGBoost's own predictions."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from contract import ServedContract
from merlin.schema import ColumnSchema, Schema, Tags
from worlds import gain

from towermill.errors import DataError, RecipeError, SchemaError
from towermill.models.architectures.rankers.forest import TreeFeatures
from towermill.models.build import build_model, load_model
from towermill.models.configs.rankers.xgboost import XGBoostConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.targets import evaluate_targets
from towermill.models.metrics.clicks import auroc
from towermill.models.training.train import train_model

xgb = pytest.importorskip("xgboost")

from towermill.models.architectures.rankers import boosting  # noqa: E402

CONFIG = XGBoostConfig(targets=("click", "buy"), ranks_by="buy", trees=60, patience=5)


class TestXGBoost(ServedContract):
    model = CONFIG
    train = TrainConfig()
    world = "crossed"

    def test_finds_both_targets(self, loaded: Any) -> None:
        data, model = loaded
        found = evaluate_targets(model, data, "test")
        assert list(found) == ["buy", "click"]
        assert gain(data.path, found["buy"]["auc"], "buy_chance", "buy") > 0.95
        assert found["buy"]["calibration"] == pytest.approx(1, abs=0.1)


class TestTrees:
    @pytest.fixture(scope="class")
    @classmethod
    def solved(cls, crossed_few: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """Data, model, and the boosters with the trees that each kept."""
        out, boosters = tmp_path_factory.mktemp("solved"), []
        train = xgb.train

        def spy(*args: Any, **keys: Any) -> Any:
            boosters.append(train(*args, **keys))
            return boosters[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boosting.xgb, "train", spy)
            train_model(crossed_few, CONFIG, TrainConfig(), out, 0)
        return *load_model(crossed_few, out, CONFIG), boosters

    def test_graph_scores_as_xgboost(self, solved: Any) -> None:
        data, model, boosters = solved
        rows = data.scan("test").head(3000).collect()
        features = np.column_stack(
            [rows[name].to_numpy().astype(np.float32) for name in model.schema.column_names]
        )
        found = model.target_logits(rows)
        assert len(boosters) == 2
        for logits, booster in zip(found.T, boosters, strict=True):
            kept = (0, booster.best_iteration + 1)
            matrix = xgb.DMatrix(features)
            expected = booster.predict(matrix, output_margin=True, iteration_range=kept)
            np.testing.assert_allclose(logits, expected, atol=1e-5)
            assert expected.std() > 0.1

    def test_early_stopping(self, solved: Any) -> None:
        _, model, boosters = solved
        for forest, booster in zip(model.model.body.forests, boosters, strict=True):
            assert forest.leaves.shape[0] is None
            assert len(forest.leaves.numpy()) == booster.best_iteration + 1
        assert min(b.best_iteration for b in boosters) + 1 < CONFIG.trees

    def test_same_seed_same_trees(self, solved: Any, tmp_path: Path) -> None:
        data, model, _ = solved
        train_model(data.path, CONFIG, TrainConfig(), tmp_path, 0)
        again: Any = load_model(data.path, tmp_path, CONFIG)[1]
        rows = data.scan("test").head(500).collect()
        np.testing.assert_array_equal(model.target_logits(rows), again.target_logits(rows))


class TestWithoutTargets:
    def test_learns_what_occurs(self, crossed: Path, tmp_path: Path) -> None:
        """A third of the pairs of categories is shown eight times as often as the others."""
        config = XGBoostConfig(trees=30, learning_rate=0.3)
        train_model(crossed, config, TrainConfig(), tmp_path, 0)
        data, model = load_model(crossed, tmp_path, config)
        users, items = data.users.sample(5000, with_replacement=True, seed=0), data.items
        items = items.sample(5000, with_replacement=True, seed=1)
        often = (users["taste"] - 3) // 2 == (items["style"] - 3) // 2
        assert auroc(model.score(users, items), often.to_numpy()) > 0.95


class TestFeatures:
    def test_of_lists_and_missing_numbers(self) -> None:
        schema = Schema([_column("likes", 9, True), _column("kind", 9, False)])
        layer = TreeFeatures(schema, list_values=2)
        found = layer(
            {
                "likes": tf.RaggedTensor.from_row_lengths(tf.constant([[4], [3], [9]]), [2, 0, 1]),
                "kind": tf.constant([[5.0], [np.nan], [7.0]]),
            }
        )
        np.testing.assert_array_equal(found, [[5, 2, 1, 1], [0, 0, 0, 0], [7, 1, 0, 0]])

    def test_refuses_lists_of_numbers(self) -> None:
        column = ColumnSchema("vector", dtype=np.float32, is_list=True, tags=[Tags.CONTINUOUS])
        with pytest.raises(SchemaError, match="'vector' is a list of numbers: leave it out"):
            TreeFeatures(Schema([column]), list_values=2)


def _column(name: str, top: int, is_list: bool) -> ColumnSchema:
    return ColumnSchema(
        name,
        dtype=np.int32,
        is_list=is_list,
        is_ragged=is_list,
        tags=[Tags.CATEGORICAL],
        properties={"domain": {"min": 0, "max": top, "name": name}},
    )


class TestErrors:
    def test_without_the_package(self, crossed_few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def missing(name: str, *args: Any, **keys: Any) -> Any:
            if name.endswith("rankers.boosting"):
                raise ImportError("No module named 'xgboost'")
            return real(name, *args, **keys)

        monkeypatch.setattr(builtins, "__import__", missing)
        data = Processed(crossed_few)
        with pytest.raises(
            RecipeError, match=r"needs the package `xgboost`.*towermill install xgboost"
        ):
            CONFIG.solve(build_model(data, CONFIG), data, seed=0)

    def test_a_target_that_is_none(self, crossed_few: Path) -> None:
        data, config = Processed(crossed_few), XGBoostConfig(targets=("like",))
        with pytest.raises(DataError, match="Received: 'like', which is not among them"):
            config.solve(build_model(data, config), data, seed=0)
