"""Paired differences: means by hand, and intervals narrower than those of the means."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.models.evaluation.paired import paired_differences


def queries(users: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users}, schema={"user_id": pl.Int32})


def test_a_difference_is_that_of_the_means() -> None:
    own, other = np.array([1.0, 0.0, 0.5]), np.array([0.5, 0.0, 0.1])
    found = paired_differences(own, {"a": other, "b": own}, queries([3, 4, 5]), seed=0)
    assert found["a"]["difference"] == pytest.approx(0.3)
    assert found["b"] == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_the_interval_is_narrower_than_that_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    other = rng.random(400)
    own = other + 0.05 + rng.normal(0, 0.02, 400)
    users = np.arange(400) + 3
    low, high = paired_differences(own, {"a": other}, queries(users.tolist()), 0)["a"]["interval"]
    assert 0.04 < low < 0.05 < high < 0.06
    ends = bootstrap_by_user({"own": own}, users)["own"]
    assert high - low < (ends[1] - ends[0]) / 5


def test_queries_of_a_user_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    shift = np.repeat(rng.normal(0, 1, 20), 10)
    options = {"others": {"a": np.zeros(200)}, "seed": 0}
    together = np.repeat(np.arange(20) + 3, 10).tolist()
    wide, narrow = (
        paired_differences(shift, queries=queries(users), **options)["a"]["interval"]
        for users in (together, list(range(3, 203)))
    )
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_unknown_users_are_apart_and_one_user_has_no_interval() -> None:
    own, other = np.array([1.0, 0.0]), {"a": np.array([0.0, 0.0])}
    assert paired_differences(own, other, queries([2, 2]), 0)["a"]["interval"] == [0.0, 1.0]
    assert paired_differences(own, other, queries([7, 7]), 0)["a"]["interval"] is None
