"""The learning rate's way, and every optimizer by name."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import tensorflow as tf
from pydantic import ValidationError

from towermill.models.config import ScheduleConfig, TrainConfig
from towermill.models.optimizers import WarmUpThenDecay, create_slots, optimizer

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
