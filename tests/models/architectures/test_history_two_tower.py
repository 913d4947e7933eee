"""The history two-tower: the Retriever contract by encoder, and what each part computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import CUT_OFF, ModelContract, ServedContract

from towermill.columns import HISTORY, ITEM_ID, OOV_ID, USER_ID
from towermill.errors import DataError, SchemaError
from towermill.models.build import build_model, load_model
from towermill.models.configs.history import HistoryConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.batches.history import HistoryBatches
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import evaluate_catalogue
from towermill.models.objectives.catalogue_losses.base import Targets
from towermill.models.training.train import train_model

SMALL: dict[str, Any] = {"embedding_dim": 16, "history_dropout": 0.5, "l2": 1e-3}
TRAIN = TrainConfig(epochs=40, batch_size=32, learning_rate=0.01, patience=0, tensorboard=False)


class TestMean(ModelContract):
    model = HistoryConfig(**SMALL)
    train = TRAIN
    world = "history_world"
    resumed = HistoryConfig(**SMALL, user_id=True, shared=True)
    resumed_world = "featured_histories"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 24})


class TestAttention(ServedContract):
    model = HistoryConfig(**SMALL, encoder="additive_attention", exponent=1.0)
    train = TRAIN
    world = "history_world"


class TestGRU(ServedContract):
    model = HistoryConfig(**SMALL, encoder="gru", layers=1, dropout=0.1)
    train = TRAIN
    world = "history_world"


class TestSelfAttention(ModelContract):
    model = HistoryConfig(**SMALL, encoder="self_attention", layers=1, dropout=0.1)
    train = TRAIN
    world = "history_world"
    resumed = HistoryConfig(**SMALL, encoder="self_attention", dropout=0.1, loss="gbce")
    resumed_world = "featured_histories"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 24})


class TestSampledSoftmax(ModelContract):
    model = HistoryConfig(**SMALL, loss="sampled_softmax", num_negatives=60)
    train = TRAIN
    world = "history_world"
    resumed = HistoryConfig(**SMALL, loss="sampled_softmax", num_negatives=10)
    resumed_world = "history_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 24})


class TestWARP(ServedContract):
    model = HistoryConfig(**SMALL, loss="warp", num_negatives=60)
    train = TRAIN
    world = "history_world"


def hit_rate_at_1(world: Path, config: HistoryConfig, out: Path) -> float:
    """Return the share of users whose test item comes first."""
    train_model(world, config, TRAIN.model_copy(update={"epochs": 60}), out, 0)
    data, model = load_model(world, out, config)
    return evaluate_catalogue(model, data, data.queries("test"), (1,))["hit_rate@1"]


class TestOrder:
    @pytest.mark.parametrize("encoder", ["gru", "self_attention"])
    def test_causal_encoders_learn_what_follows(
        self, encoder: str, chains: Path, tmp_path: Path
    ) -> None:
        config = HistoryConfig(embedding_dim=32, encoder=encoder, dropout=0.0, layers=1, l2=0.0)
        assert hit_rate_at_1(chains, config, tmp_path) > 0.9

    @pytest.mark.parametrize(
        ("encoder", "same"),
        [("mean", True), ("additive_attention", True), ("gru", False), ("self_attention", False)],
    )
    def test_order_counts_for_causal_encoders_alone(
        self, encoder: str, same: bool, chains: Path
    ) -> None:
        model: Any = build_model(Processed(chains), HistoryConfig(embedding_dim=8, encoder=encoder))
        lists = [[3, 4, 5, 6], [6, 5, 4, 3]]
        rows = pl.DataFrame({HISTORY: lists}, schema={HISTORY: pl.List(pl.Int32)})
        one, other = model.embed_queries(rows)
        assert np.allclose(one, other, atol=1e-5) == same

    @pytest.mark.parametrize("encoder", ["gru", "self_attention"])
    def test_a_position_does_not_see_later_items(self, encoder: str, chains: Path) -> None:
        model: Any = build_model(
            Processed(chains), HistoryConfig(embedding_dim=8, encoder=encoder, layers=2)
        )
        ids = np.array([[3, 4, 5, 6, 7]], np.int32)
        found = model.query_tower.encoder.positions(ids, tf.ones([1, 5])).numpy()
        for width in range(1, 5):
            part = ids[:, :width]
            alone = model.query_tower.encoder.positions(part, tf.ones([1, width])).numpy()
            np.testing.assert_allclose(alone, found[:, :width], rtol=1e-4, atol=1e-5)


class TestQueries:
    def test_the_mean_is_that_of_a_slow_formula(self, history_world: Path) -> None:
        data = Processed(history_world)
        model: Any = build_model(data, HistoryConfig(embedding_dim=8, exponent=0.5))
        lists = [[3, 5, 9], [], [OOV_ID, 4], list(range(3, 23))]
        rows = pl.DataFrame({HISTORY: lists}, schema={HISTORY: pl.List(pl.Int32)})
        table = model.query_tower.encoder.table.table.embeddings.numpy()
        for found, items in zip(model.embed_queries(rows), lists, strict=True):
            known = [item for item in items[-15:] if item >= 3]
            mean = table[known].sum(axis=0) / max(len(known), 1) ** 0.5
            np.testing.assert_allclose(found[:-1], mean, rtol=1e-5, atol=1e-6)
            assert found[-1] == 1

    def test_training_and_serving_sums_agree(self, history_world: Path) -> None:
        model: Any = build_model(Processed(history_world), HistoryConfig(embedding_dim=8))
        ids = tf.constant([[3, 4, 0], [7, 2, 5], [0, 0, 0]])
        weights = tf.cast(ids >= 3, tf.float32)
        encoder = model.query_tower.encoder
        served, trained = (encoder(ids, weights, training=flag) for flag in (False, True))
        np.testing.assert_allclose(served, trained, rtol=1e-6, atol=1e-7)

    def test_an_empty_history_ranks_by_popularity(self, history_world: Path) -> None:
        data = Processed(history_world)
        model: Any = build_model(data, HistoryConfig(embedding_dim=8))
        nobody = pl.DataFrame({HISTORY: [[]]}, schema={HISTORY: pl.List(pl.Int32)})
        scores = model.scores(nobody, data.items)(0, 1)[0]
        counts = data.item_counts
        assert np.corrcoef(scores, np.log(counts))[0, 1] > 0.999

    def test_a_new_user_is_served_like_a_known_one_with_that_history(
        self, history_world: Path
    ) -> None:
        data = Processed(history_world)
        model: Any = build_model(data, HistoryConfig(embedding_dim=8))
        known = data.users.select(USER_ID, HISTORY)
        new = known.with_columns(pl.lit(OOV_ID, pl.Int32).alias(USER_ID))
        np.testing.assert_array_equal(model.embed_queries(known), model.embed_queries(new))

    def test_a_test_query_holds_the_items_of_validation(self, history_world: Path) -> None:
        data = Processed(history_world)
        lists = {row[0]: row[1:] for row in data.sequences.rows()}
        for split, parts in (("validation", 1), ("test", 2)):
            rows = data.with_history(data.scan(split).collect(), split)  # type: ignore[arg-type]
            for user, history in rows.select(USER_ID, HISTORY).rows():
                assert history == [item for part in lists[user][:parts] for item in part]


class TestItems:
    def test_features_are_added_and_a_new_item_is_placed_by_them(
        self, featured_histories: Path, tmp_path: Path
    ) -> None:
        config = HistoryConfig(**SMALL)
        train_model(featured_histories, config, TRAIN, tmp_path, 0)
        data, model = load_model(featured_histories, tmp_path, config)
        assert isinstance(model, Retriever)
        new = data.items.with_columns(pl.lit(OOV_ID, pl.Int32).alias(ITEM_ID))
        near = model.embed_items(new)[:, :-1] @ model.embed_items(data.items)[:, :-1].T
        lists, sides = data.items["genres"].to_list(), data.items["year"].to_numpy()
        group = np.array([min(g) for g in lists]) + 3 * (sides > 0)
        right = [group[line.argmax()] == own for line, own in zip(near, group, strict=True)]
        assert np.mean(right) > 0.9


class TestLoss:
    def test_an_item_both_kept_and_dropped_has_a_loss_from_zero(self, history_world: Path) -> None:
        model: Any = build_model(Processed(history_world), HistoryConfig(embedding_dim=8, l2=0.0))
        loss = model.model.objective.loss
        query = tf.constant(np.random.default_rng(0).normal(size=(1, 9)) * 30, tf.float32)
        rows, items = tf.constant([0], tf.int64), tf.constant([4], tf.int64)
        found = loss(Targets(query, rows, items, tf.constant([[0, 4], [0, 5]], tf.int64)))
        assert float(found) >= 0


class TestRefusals:
    def test_no_histories(self, id_world: Path) -> None:
        with pytest.raises(SchemaError, match=r"`features\.history: true`"):
            build_model(Processed(id_world), HistoryConfig())

    def test_nothing_to_predict(self, history_world: Path, tmp_path: Path) -> None:
        data = Processed(history_world)
        alone = pl.col("train").list.head(1)
        data.__dict__["sequences"] = data.sequences.with_columns(alone)
        with pytest.raises(DataError, match="two or more training items"):
            HistoryBatches(data, HistoryConfig(), length=5, batch_size=8)

    def test_heads_divide_the_width(self) -> None:
        with pytest.raises(ValueError, match="multiple of `heads`"):
            HistoryConfig(encoder="self_attention", embedding_dim=10, heads=4)
