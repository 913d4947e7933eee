"""Rankers of several targets by mixed experts: the contract, and ESMM's entire space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from contract import ModelContract
from pydantic import ValidationError
from worlds import gain

from towermill.models.architectures.rankers.mmoe import logit_of_both
from towermill.models.build import build_model
from towermill.models.configs.rankers.mmoe import MMoEConfig
from towermill.models.configs.rankers.ple import PLEConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.targets import evaluate_targets

SMALL: dict[str, Any] = {
    "embedding_dim": 8,
    "mlp": (32, 16),
    "tower": (8,),
    "targets": ("click", "buy"),
    "ranks_by": "buy",
    "entire_space": True,
}
#: With everything that is random.
RANDOM: dict[str, Any] = {**SMALL, "embedding_dim": 4, "mlp": (8,), "dropout": 0.2, "l2": 1e-3}


class TargetsContract(ModelContract):
    """The contract in the crossed world, and: both targets are found, and agree."""

    train = TrainConfig(epochs=6, batch_size=256, learning_rate=0.005, patience=2)
    world = "crossed"
    resumed_world = "crossed_few"

    def test_finds_both_targets(self, loaded: Any) -> None:
        data, model = loaded
        found = evaluate_targets(model, data, "test")
        assert list(found) == ["buy", "click"]
        assert gain(data.path, found["buy"]["auc"], "buy_chance", "buy") >= 0.95
        assert found["buy"]["calibration"] == pytest.approx(1, abs=0.1)

    def test_nothing_is_likelier_bought_than_clicked(self, loaded: Any) -> None:
        data, model = loaded
        rows = data.scan("test").collect()
        logits = model.target_logits(rows)
        assert logits.shape == (rows.height, 2)
        assert (logits[:, 0] < logits[:, 1]).all()

    def test_ranks_by_the_one_that_is_named(self, loaded: Any) -> None:
        data, model = loaded
        rows = data.scan("test").head(100).collect()
        np.testing.assert_allclose(
            model.score(rows, rows), model.target_logits(rows)[:, 0], rtol=1e-5
        )


class TestMMoE(TargetsContract):
    model = MMoEConfig(**SMALL)
    resumed = MMoEConfig(**RANDOM)


class TestPLE(TargetsContract):
    model = PLEConfig(**SMALL)
    resumed = PLEConfig(**RANDOM)

    def test_experts_are_those_of_the_target_and_the_shared(self, crossed_few: Any) -> None:
        """By the paper's formula, for targets whose names begin alike."""
        targets = ("buy", "buy_chance")
        config = PLEConfig(
            targets=targets, extraction_layers=1, experts=2, shared_experts=1, mlp=(4,)
        )
        body = build_model(Processed(crossed_few), config).model.body
        (layer,) = body.experts.block.layers
        features = np.random.default_rng(0).normal(size=(5, layer.weights[0].shape[0]))
        features = features.astype(np.float32)
        found = body.experts(features)
        for place, target in enumerate(targets):
            own_experts = [f"target{place:04}/expert_{i}" for i in range(2)]
            names = ["shared/expert_0", *own_experts]  # Merlin stacks them by name
            own = [layer.parallel_layers[name](features)[name] for name in names]
            (gate,) = layer.post.gate_dict[f"target{place:04}"].weights
            shares = tf.nn.softmax(features @ gate.numpy()).numpy()
            expected = sum(shares[:, [i]] * np.asarray(one) for i, one in enumerate(own))
            np.testing.assert_allclose(found[target], expected, atol=1e-5)


class TestEntireSpace:
    def test_product_of_probabilities(self) -> None:
        logits = np.array([-80.0, -5.0, 0.0, 3.0, 80.0], np.float32)
        one, other = np.meshgrid(logits, logits)
        with np.errstate(over="ignore"):
            expected = 1 / (1 + np.exp(-one)) / (1 + np.exp(-other))
        found = logit_of_both(tf.constant(one), tf.constant(other))
        np.testing.assert_allclose(tf.sigmoid(found), expected, rtol=1e-4)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("config", [MMoEConfig, PLEConfig])
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"targets": ("click",)}, "at least 2 items"),
        ({"targets": ("click", "click")}, "`targets` should differ"),
        ({"targets": ("click", "buy"), "ranks_by": "like"}, "one of `targets`: click, buy"),
    ],
)
def test_refuses(config: Any, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**keys)
