"""Rankers on all features: the contract, and stock Merlin's scores with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import merlin.models.tf as mm
import numpy as np
import pytest
import tensorflow as tf
from contract import ModelContract
from merlin.schema import Schema, Tags

from towermill.errors import SchemaError
from towermill.models.build import build_model
from towermill.models.configs.base import ModelConfig
from towermill.models.configs.rankers.dcn import DCNConfig
from towermill.models.configs.rankers.deepfm import DeepFMConfig
from towermill.models.configs.rankers.dlrm import DLRMConfig
from towermill.models.configs.rankers.wide_deep import WideDeepConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import as_tensors

SMALL: dict[str, Any] = {"embedding_dim": 8, "mlp": (16, 8)}
#: With everything that is random, and lists and numbers on both sides.
RANDOM: dict[str, Any] = {"embedding_dim": 4, "mlp": (8,), "dropout": 0.2, "l2": 1e-3}


class TestDLRM(ModelContract):
    model = DLRMConfig(**SMALL)
    train = TrainConfig(epochs=25, batch_size=128, learning_rate=0.01, patience=0)
    resumed = DLRMConfig(**RANDOM, bottom=(8,))


class TestDCN(ModelContract):
    model = DCNConfig(**SMALL)
    train = TrainConfig(epochs=25, batch_size=128, learning_rate=0.01, patience=0)
    resumed = DCNConfig(**RANDOM, cross_rank=2, stacked=False)


class TestDeepFM(ModelContract):
    model = DeepFMConfig(**SMALL)
    train = TrainConfig(epochs=25, batch_size=128, learning_rate=0.01, patience=0)
    resumed = DeepFMConfig(**RANDOM)


class TestWideDeep(ModelContract):
    model = WideDeepConfig(**SMALL)
    train = TrainConfig(epochs=25, batch_size=128, learning_rate=0.01, patience=0)
    resumed = WideDeepConfig(**RANDOM, crosses=[("user_id", "item_id")], cross_buckets=100)


class TestAsStockMerlin:
    """Same weights, same scores: stock Merlin's model gives the sigmoid of the logit."""

    tables: ClassVar[dict[str, Any]] = {"dim": 8, "sequence_combiner": "mean"}

    @pytest.fixture
    def schema(self, feature_world: Path) -> Schema:
        data = Processed(feature_world)
        return Schema([*data.query_schema, *data.item_schema])

    def _assert_same(self, world: Path, config: ModelConfig, stock: Any) -> None:
        data = Processed(world)
        ranker: Any = build_model(data, config)
        rows = data.scan("train").head(500).collect()
        batch = as_tensors(to_batch(rows, ranker.schema))
        stock(batch)
        mine, theirs = (
            sorted(model.trainable_weights, key=lambda w: ("cross" in w.name, *w.shape))
            for model in (ranker.model.body, stock)
        )
        assert [w.shape for w in mine] == [w.shape for w in theirs]
        rng = np.random.default_rng(0)
        for weight, other in zip(mine, theirs, strict=True):
            weight.assign(rng.normal(0, 0.3, weight.shape))
            other.assign(weight)
        found = tf.sigmoid(ranker.score(rows, rows)).numpy()
        assert found.std() > 0.01
        np.testing.assert_allclose(found, stock(batch).numpy()[:, 0], atol=1e-6)

    def test_dlrm(self, feature_world: Path, schema: Schema) -> None:
        stock = mm.DLRMModel(
            schema,
            embedding_dim=8,
            bottom_block=mm.MLPBlock([16, 8]),
            top_block=mm.MLPBlock([16, 4]),
            prediction_tasks=mm.BinaryOutput("click"),
        )
        config = DLRMConfig(embedding_dim=8, bottom=(16,), mlp=(16, 4))
        self._assert_same(feature_world, config, stock)

    @pytest.mark.parametrize("stacked", [True, False])
    def test_dcn(self, feature_world: Path, schema: Schema, stacked: bool) -> None:
        embeddings = mm.Embeddings(schema.select_by_tag(Tags.CATEGORICAL), **self.tables)
        stock = mm.DCNModel(
            schema,
            depth=3,
            deep_block=mm.MLPBlock([16, 4]),
            stacked=stacked,
            input_block=mm.InputBlockV2(schema, categorical=embeddings),
            prediction_tasks=mm.BinaryOutput("click"),
        )
        if not stacked:  # stock's branches have the names that Keras numbers
            beside = stock.blocks[0].layers[-1]
            beside.parallel_layers = dict(
                zip(("cross", "deep"), beside.parallel_layers.values(), strict=True)
            )
        config = DCNConfig(embedding_dim=8, cross_layers=3, mlp=(16, 4), stacked=stacked)
        self._assert_same(feature_world, config, stock)


class TestFactorizationMachine:
    def test_is_the_formula(self, id_world: Path) -> None:
        """Without its dense layers: weights, and the dot product of the two ids' embeddings."""
        data = Processed(id_world)
        ranker: Any = build_model(data, DeepFMConfig(embedding_dim=4, mlp=(4,)))
        machine = ranker.model.body
        for weight in machine.deep.weights:
            weight.assign(tf.zeros_like(weight))
        rows = data.scan("train").head(50).collect()
        expected = np.zeros(50)
        vectors = {}
        for name in ("user_id", "item_id"):
            tables = (machine.embeddings, machine.first_order.parallel_layers["categories"])
            vector, weight = (
                t.parallel_layers[name].table.embeddings.numpy()[rows[name]] for t in tables
            )
            vectors[name] = vector
            expected += weight[:, 0]
        expected += (vectors["user_id"] * vectors["item_id"]).sum(axis=1)
        np.testing.assert_allclose(ranker.score(rows, rows), expected, atol=1e-6)


class TestCrosses:
    def test_each_combination_has_a_weight(self, id_world: Path) -> None:
        data = Processed(id_world)
        config = WideDeepConfig(**SMALL, crosses=[("user_id", "item_id")])
        ranker: Any = build_model(data, config)
        rows = data.scan("train").head(3).collect()
        before = ranker.score(rows, rows)
        cross = ranker.model.body.parallel_layers["user_id_x_item_id"]
        user, item = (int(rows[name][1]) for name in ("user_id", "item_id"))
        weights = np.zeros((config.cross_buckets, 1), np.float32)
        weights[(user * 1_000_003 + item) % config.cross_buckets] = 2
        cross.table.set_weights([weights])
        np.testing.assert_allclose(ranker.score(rows, rows) - before, [0, 2, 0], atol=1e-6)

    @pytest.mark.parametrize("name", ["likes", "side", "brand"])
    def test_refuses_what_is_no_single_category(self, name: str, feature_world: Path) -> None:
        with pytest.raises(SchemaError, match=rf"user_id, item_id\. Received: '{name}'"):
            build_model(Processed(feature_world), WideDeepConfig(crosses=[("user_id", name)]))
