"""Rankers of a target: what they find that a two-tower cannot, and targets that are none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from worlds import crossed_world, gain

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.errors import DataError, RecipeError
from towermill.models.build import load_model
from towermill.models.configs import MODELS
from towermill.models.configs.rankers.dcn import DCNConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.interactions import Processed
from towermill.models.data.targets import PositiveRows
from towermill.models.evaluation.catalogue import CatalogueProtocol
from towermill.models.evaluation.protocol import Ranking
from towermill.models.evaluation.targets import evaluate_targets
from towermill.models.metrics.clicks import auroc
from towermill.models.training.train import train_model

TRAIN = TrainConfig(epochs=6, batch_size=256, learning_rate=0.005, patience=2, tensorboard=False)


@pytest.fixture(scope="module")
def world(crossed: Path) -> Path:
    return crossed


class TestPlantedInteraction:
    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["dlrm", "dcn", "deepfm", "wide_deep"])
    def test_a_ranker_finds_it(self, kind: str, world: Path, tmp_path: Path) -> None:
        config = MODELS.get(kind).model_validate(
            {"kind": kind, "embedding_dim": 8, "mlp": [32, 16], "target": "click"}
        )
        train_model(world, config, TRAIN, tmp_path, 0)
        data, model = load_model(world, tmp_path, config)
        (found,) = evaluate_targets(model, data, "test").values()
        assert gain(world, found["auc"]) >= 0.95
        assert gain(world, found["gauc"]) >= 0.9
        assert found["log_loss"] < found["log_loss_of_rate"] - 0.15
        assert found["calibration"] == pytest.approx(1, abs=0.1)
        assert found["ece"] < 0.05

    @pytest.mark.slow
    @pytest.mark.parametrize(("clicks_alone", "most"), [(False, 0.2), (True, 0.9)])
    def test_a_two_tower_does_not(
        self, clicks_alone: bool, most: float, world: Path, tmp_path: Path
    ) -> None:
        """Each of its rows is a positive: it learns what is shown, or what is shown and clicked."""
        config = TwoTowerConfig(tower=(32, 16), embedding_dim=8)
        test = Processed(world).scan("test").collect()
        own = shutil.copytree(world, tmp_path / "world")
        if clicks_alone:
            for file in own.glob("[tv]*/part_0.parquet"):
                pl.read_parquet(file).filter(click=1).write_parquet(file)
        train_model(own, config, TRAIN, tmp_path / "out", 0)
        model: Any = load_model(own, tmp_path / "out", config)[1]
        scores = (model.embed_queries(test) * model.embed_items(test)).sum(axis=1)
        assert gain(world, auroc(scores, test["click"])) < most


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
        out = tmp_path_factory.mktemp("trained")
        config = DCNConfig(embedding_dim=4, mlp=(8,), target="click")
        train = TRAIN.model_copy(update={"epochs": 1, "monitor": "gauc"})
        train_model(world, config, train, out, 0)
        return load_model(world, out, config)

    def test_has_the_catalogue_and_each_target(self, trained: Any) -> None:
        data, model = trained
        report = CatalogueProtocol().report(model, data, Ranking(max_queries=20), (10,), 0)
        assert report["protocol"] == "catalogue"
        assert report["queries"] == 20
        assert set(report["targets"]) == {"click"}
        assert report["targets"]["click"]["rows"] == data.rows("test")

    def test_only_clicks_are_answers(self, trained: Any) -> None:
        data, _ = trained
        rows = {split: data.scan(split).collect() for split in ("train", "validation", "test")}
        clicked = {
            split: set(f.filter(click=1)[[USER_ID, ITEM_ID]].rows()) for split, f in rows.items()
        }
        queries = PositiveRows(data.path, "click").queries("test")
        users = np.repeat(queries.features[USER_ID].to_numpy(), queries.relevant.lengths)
        items = data.ranking_order[queries.relevant.values] + FIRST_ID
        found = set(zip(users.tolist(), items.tolist(), strict=True))
        assert found == clicked["test"] - clicked["train"] - clicked["validation"]
        assert len(found) < 0.6 * rows["test"].height

    def test_a_split_of_one_class(self, trained: Any, world: Path) -> None:
        _, model = trained
        with pytest.raises(DataError, match=r"'click' is 1 in all \d+\. Change `split`"):
            evaluate_targets(model, PositiveRows(world, "click"), "test")

    def test_is_validated_by_its_target(self, world: Path, tmp_path: Path) -> None:
        config = DCNConfig(embedding_dim=4, mlp=(8,))
        with pytest.raises(RecipeError, match=r"`train.monitor` should be a metric"):
            train_model(world, config, TRAIN.model_copy(update={"monitor": "auc"}), tmp_path, 0)


class TestTargetsThatAreNone:
    def batches(self, world: Path, target: str) -> Any:
        return DCNConfig(target=target).batches(Processed(world), batch_size=64, seed=0)

    def test_missing(self, world: Path) -> None:
        with pytest.raises(DataError, match=r"they have: click, buy, .*\. Received: 'like'"):
            self.batches(world, "like")

    def test_an_input(self, world: Path) -> None:
        with pytest.raises(DataError, match="Received: 'taste', an input of the model"):
            self.batches(world, "taste")

    def test_not_binary(self, world: Path) -> None:
        with pytest.raises(DataError, match=r"The values of 'chance' are: 0\.1\d+, 0\.8\d+\. "):
            self.batches(world, "chance")

    def test_of_one_class(self, tmp_path: Path) -> None:
        world = crossed_world(tmp_path, rows=2000)
        file = tmp_path / "train" / "part_0.parquet"
        pl.read_parquet(file).filter(click=1).write_parquet(file)
        with pytest.raises(DataError, match=r"The values of 'click' are: 1\. Remove `features.pos"):
            self.batches(world, "click")

    @pytest.mark.parametrize("kind", [pl.Boolean, pl.Float32, pl.Int64])
    def test_any_type_of_0_and_1(self, kind: Any, tmp_path: Path) -> None:
        world = crossed_world(tmp_path, rows=2000)
        for file in tmp_path.glob("*/part_0.parquet"):
            pl.read_parquet(file).with_columns(pl.col("click").cast(kind)).write_parquet(file)
        config = DCNConfig(embedding_dim=4, mlp=(8,), target="click")
        out = tmp_path / "out"
        train_model(world, config, TRAIN.model_copy(update={"epochs": 1}), out, 0)
        (found,) = evaluate_targets(
            load_model(world, out, config)[1], Processed(world), "test"
        ).values()
        assert 0.4 < found["rate"] < 0.6
