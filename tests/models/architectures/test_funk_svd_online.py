"""Online learning: the gradient is that of the loss trained by, on the rows touched alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from towermill.models.architectures.funk_svd_online import OnlineFactors, focal_gradient
from towermill.models.configs.funk_svd import FunkSVDConfig

CONFIG = FunkSVDConfig(factors=3, l2=0.01, num_negatives=(2, 4), gamma=1.5, label_smoothing=0.2)


def factors(rate: float = 0.1, config: FunkSVDConfig = CONFIG) -> OnlineFactors:
    rng = np.random.default_rng(1)
    users = rng.normal(size=(6, 5)).astype(np.float32)
    items = rng.normal(size=(40, 5)).astype(np.float32)
    users[:, -1] = items[:, -2] = 1
    return OnlineFactors(users, items, config, rate, seed=0)


def click(table: OnlineFactors, *clicks: tuple[int, int], passed: Any = None) -> None:
    users, items = (np.array(part) for part in zip(*clicks, strict=True))
    table.learn(users, items, [{item} for _, item in clicks], passed or [[] for _ in clicks])


class TestGradient:
    @pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
    def test_is_that_of_the_loss(self, gamma: float) -> None:
        config = CONFIG.model_copy(update={"gamma": gamma})
        logits = tf.Variable(np.linspace(-9, 9, 24, dtype=np.float32).reshape(4, 6))
        positive = np.arange(24).reshape(4, 6) % 3 == 0
        with tf.GradientTape() as tape:
            loss = tf.keras.losses.binary_focal_crossentropy(
                positive.astype(np.float32)[..., None],
                logits[..., None],
                apply_class_balancing=True,
                alpha=config.balance,
                gamma=gamma,
                from_logits=True,
                label_smoothing=config.label_smoothing,
            )
        expected = tape.gradient(loss, logits).numpy()
        found = focal_gradient(logits.numpy(), positive, config)
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestLearn:
    def test_a_click_draws_its_pair_together(self) -> None:
        table = factors()
        before = table.users[2] @ table.items[7]
        for _ in range(20):
            click(table, (2, 7))
        assert table.users[2] @ table.items[7] > before + 0.5

    def test_only_rows_touched_change(self) -> None:
        table, was = factors(), factors()
        click(table, (2, 7))
        assert np.flatnonzero((table.users != was.users).any(axis=1)).tolist() == [2]
        changed = np.flatnonzero((table.items != was.items).any(axis=1))
        assert 7 in changed
        assert 3 <= len(changed) <= 5  # the item and 2 to 4 negatives

    def test_the_ones_stay(self) -> None:
        table = factors(rate=1.0)
        click(table, (2, 7), (3, 8))
        np.testing.assert_array_equal(table.users[:, -1], 1)
        np.testing.assert_array_equal(table.items[:, -2], 1)

    def test_clicks_on_one_item_are_summed(self) -> None:
        # No draws: the negatives are those that were passed over.
        config = CONFIG.model_copy(update={"num_negatives": (2, 2)})
        passed = [[10, 11], [12, 13]]
        together, one, other = (factors(config=config) for _ in range(3))
        start = one.weights()
        click(together, (2, 7), (3, 7), passed=passed)
        click(one, (2, 7), passed=passed[:1])
        click(other, (3, 7), passed=passed[1:])
        for name in ("users", "items"):
            steps = [table.weights()[name] - start[name] for table in (one, other)]
            found = together.weights()[name] - start[name]
            np.testing.assert_allclose(found, steps[0] + steps[1], atol=1e-6)

    def test_order_is_of_no_matter(self) -> None:
        config = CONFIG.model_copy(update={"num_negatives": (2, 2)})
        tables = [factors(config=config) for _ in range(2)]
        click(tables[0], (2, 7), (3, 8), passed=[[10, 11], [8, 7]])
        click(tables[1], (3, 8), (2, 7), passed=[[8, 7], [10, 11]])
        np.testing.assert_allclose(tables[0].items, tables[1].items, atol=1e-6)

    def test_what_the_user_clicked_is_no_negative(self) -> None:
        table, was = factors(), factors()
        everything = set(range(40)) - {5}
        table.learn(np.array([2]), np.array([7]), [everything], [[]])
        changed = np.flatnonzero((table.items != was.items).any(axis=1)).tolist()
        assert set(changed) <= {5, 7}

    def test_passed_over_falls(self) -> None:
        config = CONFIG.model_copy(update={"l2": 0.0})
        table, was = factors(config=config), factors(config=config)
        click(table, (2, 7), passed=[[10, 11]])
        for item in (10, 11):
            assert table.users[2] @ table.items[item] < was.users[2] @ was.items[item]

    def test_no_clicks(self) -> None:
        table = factors()
        table.learn(np.array([], int), np.array([], int), [], [])


class TestRows:
    def test_who_is_not_known_begins_as_the_last_row(self) -> None:
        table = factors()
        nobody = table.users[-1].copy()
        click(table, (5, 7), (8, 7))
        assert len(table.users) == 9
        np.testing.assert_array_equal(table.users[6], nobody)
        assert (table.users[8] != nobody).any()
        assert table.scores([10, 2]).shape == (2, 40)

    def test_restored_is_as_before(self) -> None:
        table = factors()
        weights, scores = table.weights(), table.scores([0, 1])
        click(table, (0, 7))
        assert (table.scores([0, 1]) != scores).any()
        table.restore(weights)
        click(table, (1, 7))
        table.restore(weights)  # not what the click in between made of them
        np.testing.assert_array_equal(table.scores([0, 1]), scores)
