"""FunkSVD: the contract, a planted low-rank matrix, and its draws of negatives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import CUT_OFF, ModelContract
from merlin.schema import Tags
from pydantic import ValidationError
from worlds import by_falling_count, write_processed

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.models.build import build_model, load_model
from towermill.models.configs.funk_svd import FunkSVDConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.training.train import train_model


class TestContract(ModelContract):
    model = FunkSVDConfig(factors=16, l2=0.0)
    train = TrainConfig(
        epochs=8, batch_size=256, learning_rate=0.02, optimizer="adamw", weight_decay=4e-4, ema=0.9
    )
    resumed = FunkSVDConfig(factors=8, label_smoothing=0.5)
    resumed_world = "id_world"
    cut_off = CUT_OFF.model_copy(update={"optimizer": "adamw", "ema": 0.9})


class TestLowRankMatrix:
    """A user takes what the planted factors and biases score highest."""

    USERS, ITEMS, TAKEN = 200, 80, 24

    @pytest.fixture(scope="class")
    @classmethod
    def scores(cls) -> np.ndarray:
        rng = np.random.default_rng(3)
        factors = rng.normal(size=(cls.USERS, 2)) @ rng.normal(size=(cls.ITEMS, 2)).T
        planted: np.ndarray = factors + 0.5 * rng.normal(size=cls.ITEMS)
        return planted

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, scores: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Any:
        top = np.argsort(-scores, axis=1)[:, : cls.TAKEN]
        users, items = np.repeat(np.arange(cls.USERS), cls.TAKEN), top.ravel()
        user_of, item_of = (
            by_falling_count(users, cls.USERS),
            by_falling_count(items, cls.ITEMS),
        )
        rows = pl.DataFrame({USER_ID: user_of[users], ITEM_ID: item_of[items]})
        world = write_processed(
            tmp_path_factory.mktemp("low-rank"),
            {"train": rows.sample(fraction=1.0, shuffle=True, seed=1)},
            pl.DataFrame({ITEM_ID: np.arange(cls.ITEMS, dtype=np.int32) + FIRST_ID}),
            {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM},
        )
        out = tmp_path_factory.mktemp("fitted")
        config = FunkSVDConfig(factors=4, l2=1e-3, gamma=1.0)
        train = TrainConfig(
            epochs=20, batch_size=256, learning_rate=0.02, ema=0.9, tensorboard=False
        )
        train_model(world, config, train, out, 0)
        retriever = load_model(world, out, config)[1]
        user_rows = pl.DataFrame({USER_ID: user_of})
        item_rows = pl.DataFrame({ITEM_ID: item_of})
        return retriever.embed_queries(user_rows), retriever.embed_items(item_rows)

    def test_recovers_the_order_of_a_users_items(self, scores: np.ndarray, fitted: Any) -> None:
        found = fitted[0] @ fitted[1].T
        planted, own = (np.argsort(np.argsort(m, axis=1), axis=1) for m in (scores, found))
        each = [np.corrcoef(a, b)[0, 1] for a, b in zip(planted, own, strict=True)]
        assert np.mean(each) > 0.8  # popularity alone: below

    def test_popularity_does_not(self, scores: np.ndarray) -> None:
        top = np.argsort(-scores, axis=1)[:, : self.TAKEN]
        taken = np.bincount(top.ravel(), minlength=self.ITEMS)
        planted = np.argsort(np.argsort(scores, axis=1), axis=1)
        assert np.mean([np.corrcoef(row, taken)[0, 1] for row in planted]) < 0.5

    def test_biases_are_folded_into_the_towers(self, fitted: Any) -> None:
        query, item = fitted
        assert query.shape[1] == item.shape[1] == 6
        np.testing.assert_array_equal(query[:, -1], 1.0)
        np.testing.assert_array_equal(item[:, -2], 1.0)


class TestNegatives:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, id_world: Path) -> Any:
        config = FunkSVDConfig(factors=4, num_negatives=(8, 14))
        return build_model(Processed(id_world), config).model

    def test_every_number_from_least_to_most_is_drawn(self, model: Any) -> None:
        # Nobody has this id, and so nobody has met an item.
        nobody = tf.fill([3000], 10_000)
        items, weights = model.negatives(nobody)
        counts = np.bincount(weights.numpy().sum(axis=1).astype(int), minlength=15)
        assert items.shape == (3000, 14)
        assert counts[:8].sum() == 0
        np.testing.assert_allclose(counts[8:] / 3000, 1 / 7, atol=0.03)

    def test_all_items_are_as_likely_and_no_other_id(self, model: Any) -> None:
        items, _ = model.negatives(tf.fill([3000], 10_000))
        counts = np.bincount(items.numpy().ravel(), minlength=123)
        assert counts[:FIRST_ID].sum() == 0
        assert len(counts) == 123
        np.testing.assert_allclose(counts[FIRST_ID:] / counts.sum(), 1 / 120, rtol=0.3)

    def test_what_the_user_met_weighs_nothing(self, model: Any, id_world: Path) -> None:
        train = Processed(id_world).scan("train").collect()
        met = set(zip(train[USER_ID], train[ITEM_ID], strict=True))
        users = tf.constant(train[USER_ID].to_numpy())
        items, weights = (part.numpy() for part in model.negatives(users))
        hits = np.array(
            [[(user, item) in met for item in row] for user, row in zip(train[USER_ID], items)]  # noqa: B905
        )
        assert hits.any()
        assert not weights[hits].any()
        assert weights[~hits].mean() > 0.7

    def test_draws_differ_from_step_to_step(self, model: Any) -> None:
        users = tf.fill([4], 10_000)
        assert not np.array_equal(model.negatives(users)[0], model.negatives(users)[0])


class TestLoss:
    def test_is_the_focal_loss(self, id_world: Path) -> None:
        config = FunkSVDConfig(
            factors=4, l2=0.01, num_negatives=(3, 3), label_smoothing=0.2, balance=0.8, gamma=1.5
        )
        model = build_model(Processed(id_world), config).model
        batch = {USER_ID: tf.constant([5, 9]), ITEM_ID: tf.constant([7, 30])}
        found = float(model.loss(batch))
        model.draws.assign_sub(1)
        drawn, weights = (part.numpy() for part in model.negatives(batch[USER_ID]))
        p, q = (
            tower.embed.table.table.embeddings for tower in (model.query_tower, model.item_tower)
        )
        p, q = p.numpy(), q.numpy()
        total = count = 0.0
        for row, (user, positive) in enumerate(zip([5, 9], [7, 30], strict=True)):
            pairs = [(positive, 1.0, 1.0), *zip(drawn[row], [0.0] * 3, weights[row], strict=True)]
            for item, label, weight in pairs:
                score = p[user, :-1] @ q[item, :-1] + p[user, -1] + q[item, -1]
                chance = 1 / (1 + np.exp(-score))
                target = label * 0.8 + 0.1
                right = target * chance + (1 - target) * (1 - chance)
                entropy = -target * np.log(chance) - (1 - target) * np.log(1 - chance)
                balance = target * 0.8 + (1 - target) * 0.2
                norms = p[user] @ p[user] + q[item] @ q[item]
                total += weight * (balance * (1 - right) ** 1.5 * entropy + 0.01 * norms)
                count += weight
        assert found == pytest.approx(total / count, rel=1e-4)


class TestConfig:
    def test_least_then_most(self) -> None:
        with pytest.raises(ValidationError, match="the least, then the most"):
            FunkSVDConfig(num_negatives=(9, 8))

    @pytest.mark.parametrize(
        "options", [{"mixed_precision": "float16"}, {"xla": True}], ids=["float16", "xla"]
    )
    def test_trains_however_it_is_computed(
        self, options: Any, id_world: Path, tmp_path: Path
    ) -> None:
        config = FunkSVDConfig(factors=8)
        train = TrainConfig(
            epochs=3, batch_size=600, learning_rate=0.02, tensorboard=False, ema=0.5, **options
        )
        train_model(id_world, config, train, tmp_path, 0)
        history = json.loads((tmp_path / "history.json").read_text())["history"]
        assert history[2]["loss"] < history[0]["loss"]
