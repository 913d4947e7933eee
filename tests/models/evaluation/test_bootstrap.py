from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError, TowermillError
from towermill.models.evaluation import bootstrap as module
from towermill.models.evaluation.bootstrap import bootstrap_by_user


def world(seed: int, users: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Users differ (mean 0.5, deviation 0.1), and so does the number of their impressions."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.integers(1, 12, users))
    values = rng.normal(0.5, 0.1, users)[user] + rng.normal(0, 0.05, len(user))
    return values, user


def slow(values: np.ndarray, users: np.ndarray, samples: int, seed: int) -> list[float]:
    """Gather the impressions of the users drawn, one sample after another."""
    rng, names = np.random.default_rng(seed), np.unique(users)
    means = []
    for _ in range(samples):
        drawn = names[rng.integers(0, len(names), len(names))]
        means.append(np.nanmean(np.concatenate([values[users == name] for name in drawn])))
    return means


class TestByHand:
    def test_two_users(self) -> None:
        """One has mean 0 over three impressions, one a single 1: means are 0, 1/4 and 1."""
        low, high = bootstrap_by_user({"auc": [0, 0, 1, 0]}, [7, 7, -2, 7], samples=500)["auc"]
        assert (low, high) == (0, 1)
        low, high = bootstrap_by_user({"auc": [0, 0, 1, 0]}, [7, 7, -2, 7], 500, level=0.4)["auc"]
        assert (low, high) == (0.25, 0.25)

    def test_nan_is_left_out(self) -> None:
        users, auc = np.array([0, 0, 1, 1, 2]), np.array([0.25, np.nan, np.nan, np.nan, 0.25])
        got = bootstrap_by_user({"auc": auc, "mrr": [1, 1, 1, 1, 1]}, users, samples=200)
        assert got == {"auc": (0.25, 0.25), "mrr": (1, 1)}


class TestDraws:
    @pytest.mark.parametrize("block", [1, 500, 2**20])
    def test_equal_a_slow_loop(self, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BLOCK", block)
        values, users = world(3)
        values[::5] = np.nan
        got = bootstrap_by_user({"auc": values}, users, samples=200, level=0.9, seed=4)["auc"]
        expected = np.quantile(slow(values, users, 200, 4), [0.05, 0.95])
        np.testing.assert_allclose(got, expected, rtol=1e-12)

    def test_order_of_impressions_does_not_matter(self) -> None:
        values, users = world(5)
        order = np.random.default_rng(0).permutation(len(users))
        before = values.copy(), users.copy()
        got = bootstrap_by_user({"auc": values}, users)["auc"]
        np.testing.assert_allclose(
            got, bootstrap_by_user({"auc": values[order]}, users[order])["auc"]
        )
        np.testing.assert_array_equal(values, before[0])
        np.testing.assert_array_equal(users, before[1])

    def test_seed_decides(self) -> None:
        values, users = world(6)
        first = bootstrap_by_user({"auc": values}, users, seed=1)
        assert first == bootstrap_by_user({"auc": values}, users, seed=1)
        assert first != bootstrap_by_user({"auc": values}, users, seed=2)

    def test_covers_the_true_mean(self) -> None:
        covered = []
        for seed in range(200):
            values, users = world(seed)
            low, high = bootstrap_by_user({"auc": values}, users, samples=500, seed=seed)["auc"]
            covered.append(low <= 0.5 <= high)
        assert 0.90 <= np.mean(covered) <= 0.985

    def test_one_by_one_would_be_too_narrow(self) -> None:
        values, users = world(7)
        low, high = bootstrap_by_user({"auc": values}, users)["auc"]
        apart = bootstrap_by_user({"auc": values}, np.arange(len(users)))["auc"]
        assert high - low > 1.5 * (apart[1] - apart[0])


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"samples": 0}, "`samples` should be a positive integer"),
            ({"level": 1.0}, "`level` should be between 0 and 1"),
            ({"seed": -1}, "`seed` should be an integer from 0"),
            ({"users": [0.5, 1.0]}, "`users` should be integers"),
            ({"users": [3, 3]}, "`users` should name two users at least. Received: 1"),
            ({"users": [1, 2, 3]}, r"`values` of 'auc' should be numbers of shape \(3,\)"),
            ({"values": {"auc": [np.nan] * 2}}, "Received: 0 infinite and 2 NaN of 2"),
            ({"values": {"auc": [np.inf, 1]}}, "Received: 1 infinite"),
        ],
    )
    def test_named(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(TowermillError, match=message):
            bootstrap_by_user(**({"values": {"auc": [0.1, 0.2]}, "users": [1, 2]} | options))

    def test_no_metrics(self) -> None:
        assert bootstrap_by_user({}, [1, 2]) == {}
        with pytest.raises(DataError):
            bootstrap_by_user({}, [1])
