"""The learning rate's way, and every optimizer by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from worlds import fit_interactions, weights_of

from towermill.models.build import build_model
from towermill.models.configs.train import ScheduleConfig, TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed
from towermill.models.training.optimizers import (
    WarmUpThenDecay,
    averaged,
    create_slots,
    optimizer,
    take_averages,
)

NAMES = get_args(TrainConfig.model_fields["optimizer"].annotation)


class TestSchedule:
    @pytest.mark.parametrize(
        ("kind", "floor", "middle", "end"),
        [
            ("constant", 0.0, 2.0, 2.0),
            ("linear", 0.0, 1.0, 0.0),
            ("linear", 0.5, 1.5, 1.0),
            ("cosine", 0.0, 1.0, 0.0),
            ("cosine", 0.5, 1.5, 1.0),
            ("exponential", 0.25, 1.0, 0.5),
            ("exponential", 0.0, 2 * 10**-1.5, 0.002),
        ],
    )
    def test_shape(self, kind: Any, floor: float, middle: float, end: float) -> None:
        rate = WarmUpThenDecay(2.0, 110, ScheduleConfig(kind=kind, warmup_steps=10, floor=floor))
        steps = [0, 4, 9, 10, 60, 110, 500]
        expected = [0.2, 1.0, 2.0, 2.0, middle, end, end]
        assert [float(rate(step)) for step in steps] == pytest.approx(expected, abs=1e-6)

    def test_without_warm_up_the_first_step_is_the_top(self) -> None:
        rate = WarmUpThenDecay(2.0, 10, ScheduleConfig(kind="linear"))
        assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([2, 1, 0])

    def test_warm_up_longer_than_the_training(self) -> None:
        rate = WarmUpThenDecay(1.0, 4, ScheduleConfig(kind="cosine", warmup_steps=8))
        assert [float(rate(step)) for step in range(4)] == pytest.approx([1 / 8, 2 / 8, 3 / 8, 0.5])

    def test_plateau_scales_what_follows_the_warm_up(self) -> None:
        rate = WarmUpThenDecay(2.0, 10, ScheduleConfig(kind="plateau", warmup_steps=4))
        assert [float(rate(step)) for step in (0, 4, 10)] == pytest.approx([0.5, 2, 2])
        rate.scale.assign(0.2)
        assert [float(rate(step)) for step in (4, 10)] == pytest.approx([0.4, 0.4])

    def test_config_tells_it_whole(self) -> None:
        rate = WarmUpThenDecay(2.0, 110, ScheduleConfig(kind="linear", warmup_steps=10, floor=0.1))
        config = rate.get_config()
        config["config"] = ScheduleConfig(**config["config"])
        assert float(WarmUpThenDecay(**config)(60)) == float(rate(60))


class TestOptimizers:
    @pytest.mark.parametrize("name", NAMES)
    def test_takes_steps_and_lowers_a_loss(self, name: Any, on_device: str) -> None:
        config = TrainConfig(optimizer=name, learning_rate=0.05)
        optimise = optimizer(config, WarmUpThenDecay(0.05, 10, config.schedule))
        table, scale = tf.Variable(tf.ones([4, 2])), tf.Variable(1.0)
        create_slots(optimise, [table, scale])

        def loss() -> tf.Tensor:
            return tf.reduce_sum(tf.gather(table, [1, 3, 1]) ** 2) * scale**2

        before = float(loss())
        for _ in range(10):
            with tf.GradientTape() as tape:
                value = loss()
            optimise.minimize(value, [table, scale], tape=tape)
        assert float(loss()) < before * 0.9
        assert int(optimise.iterations) == 10
        untouched = table.numpy()[[0, 2]]
        assert untouched.min() == untouched.max() == pytest.approx(1, abs=0.02)  # but for decay

    def test_slots_are_there_before_the_first_step(self) -> None:
        for name, slots in {"adam": 2, "lazy_adam": 2, "adagrad": 1}.items():
            optimise = optimizer(TrainConfig(optimizer=name), 0.1)
            weight = tf.Variable(tf.ones([3, 2]))
            create_slots(optimise, [weight])
            variables = optimise.variables
            variables = variables() if callable(variables) else variables
            assert sum(v.shape == weight.shape for v in variables) == slots, name

    def test_weight_decay_is_decoupled(self) -> None:
        config = TrainConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
        optimise, weight = optimizer(config, 0.1), tf.Variable([2.0])
        optimise.apply_gradients([(tf.constant([0.0]), weight)])
        assert weight.numpy()[0] == pytest.approx(2 - 0.1 * 0.5 * 2)

    def test_weight_decay_is_adamws_alone(self) -> None:
        with pytest.raises(ValidationError, match="`weight_decay` is for `optimizer: adamw`"):
            TrainConfig(optimizer="adam", weight_decay=0.1)


class TestAverages:
    @pytest.mark.parametrize("scaled", [False, True], ids=["plain", "in a loss scale"])
    def test_formula(self, scaled: bool) -> None:
        variable = tf.Variable([4.0, -2.0])
        optimise = optimizer(TrainConfig(optimizer="sgd", learning_rate=0.5, ema=0.8), 0.5)
        if scaled:
            optimise = tf.keras.mixed_precision.LossScaleOptimizer(optimise)
        create_slots(optimise, [variable])
        expected = raw = np.array([4.0, -2.0])
        for _ in range(5):
            optimise.minimize(lambda: tf.reduce_sum(variable**2) / 4, [variable])
            raw = raw * 0.75
            expected = 0.8 * expected + 0.2 * raw
        np.testing.assert_allclose(variable, raw, rtol=1e-5)
        with averaged(optimise, [variable]):
            np.testing.assert_allclose(variable, expected, rtol=1e-5)
        np.testing.assert_allclose(variable, raw, rtol=1e-5)
        take_averages(optimise, [variable])
        np.testing.assert_allclose(variable, expected, rtol=1e-5)

    @pytest.mark.parametrize("name", ["adam", "lazy_adam"])
    def test_without_it_weights_stay(self, name: Any) -> None:
        variable = tf.Variable([4.0, -2.0])
        optimise = optimizer(TrainConfig(optimizer=name), 0.5)
        with averaged(optimise, [variable]):
            np.testing.assert_array_equal(variable, [4.0, -2.0])

    def test_validation_sees_them_and_training_goes_on_without(
        self, id_world: Path, tmp_path: Path
    ) -> None:
        losses, seen = {}, {}
        for ema in (0.0, 0.9):
            config = TrainConfig(epochs=3, batch_size=600, ema=ema, tensorboard=False)
            data, shown = Processed(id_world), []
            model = build_model(data, TwoTowerConfig(tower=(), embedding_dim=8))

            def validate(retriever: Retriever, shown: list[Any] = shown) -> dict[str, float]:
                shown.append(weights_of(retriever)[0])
                return {"ndcg@10": float(len(shown))}

            state = fit_interactions(model, data, config, tmp_path / str(ema), validate=validate)
            losses[ema] = [record["loss"] for record in state.history]
            seen[ema] = [*shown, weights_of(model)[0]]
        assert losses[0.0] == losses[0.9]
        assert np.abs(seen[0.0][0] - seen[0.9][0]).max() > 1e-4
        np.testing.assert_array_equal(seen[0.9][2], seen[0.9][3])  # the best is the last

    def test_without_validation_they_are_kept(self, id_world: Path, tmp_path: Path) -> None:
        data = Processed(id_world)
        left = []
        for ema in (0.0, 0.9):
            model = build_model(data, TwoTowerConfig(tower=(), embedding_dim=8))
            config = TrainConfig(epochs=1, batch_size=600, ema=ema, tensorboard=False)
            fit_interactions(model, data, config, tmp_path / str(ema))
            left.append(weights_of(model)[0])
        assert np.abs(left[0] - left[1]).max() > 1e-4

    def test_lazy_adam_keeps_none(self) -> None:
        with pytest.raises(ValidationError, match="`ema` should be 0 with `optimizer: lazy_adam`"):
            TrainConfig(optimizer="lazy_adam", ema=0.9)
