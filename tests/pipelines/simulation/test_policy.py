"""Slates: nothing twice, what comes from where, and what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError
from towermill.models.architectures.funk_svd_online import OnlineFactors
from towermill.models.configs.funk_svd import FunkSVDConfig
from towermill.pipelines.recommend.neighbours import Neighbours
from towermill.pipelines.simulation.environment import batched
from towermill.pipelines.simulation.episodes import run_episode
from towermill.pipelines.simulation.feedback import Feedback
from towermill.pipelines.simulation.policy import Policy
from towermill.pipelines.simulation.sources import NearClicked, Scored

ITEMS = [f"item-{row}" for row in range(30)]


def memory(**history: list[int]) -> Feedback:
    rows = {user: row for row, user in enumerate(history)}
    return Feedback(rows, list(history.values()))


def falling(rows: list[int]) -> np.ndarray:
    """Row 0 is best for all."""
    return np.tile(-np.arange(30, dtype=np.float32), (len(rows), 1))


class Readers:
    """Anybody's environment: each of two users sees so many slates, and clicks the second item."""

    def __init__(self, slates: int = 4) -> None:
        self.slates, self.shown, self.left = slates, {}, {}

    def reset(self) -> None:
        self.left, self.shown = {"ann": self.slates, "zoe": self.slates}, {"ann": [], "zoe": []}

    def has_next_state(self) -> bool:
        return any(self.left.values())

    def get_state(self) -> str:
        return next(user for user, left in self.left.items() if left)

    def get_response(self, slate: list[str]) -> str | None:
        user = self.get_state()
        self.left[user] -= 1
        self.shown[user].append(slate)
        return slate[1] if len(slate) > 1 else None

    def get_score(self) -> float:
        return 0.5


class TestSlates:
    def test_best_first_without_what_was_read(self) -> None:
        policy = Policy(ITEMS, memory(ann=[0, 2]), [(Scored(falling), 3)], size=3)
        assert policy.slates(["ann", "zoe"]) == [
            ["item-1", "item-3", "item-4"],
            ["item-0", "item-1", "item-2"],
        ]

    def test_slates_of_an_episode_repeat_nothing(self) -> None:
        readers = Readers(slates=5)
        near = NearClicked(Neighbours(np.random.default_rng(0).normal(size=(30, 4))), [0])
        history = memory(ann=[0, 2], zoe=[5])
        policy = Policy(ITEMS, history, [(Scored(falling), 2), (near, 3)], size=5)
        policy.begin()
        run_episode(batched(readers), policy)
        for user, read in (("ann", ["item-0", "item-2"]), ("zoe", ["item-5"])):
            shown = [item for slate in readers.shown[user] for item in slate]
            assert len(set(shown)) == len(shown) == 25
            assert not set(shown) & set(read)

    def test_shorter_and_then_empty_where_all_was_shown(self) -> None:
        readers = Readers(slates=4)
        policy = Policy(
            ITEMS[:7], memory(ann=[]), [(Scored(lambda r: falling(r)[:, :7]), 5)], size=5
        )
        policy.begin()
        episode = run_episode(batched(readers), policy)
        assert [len(slate) for slate in readers.shown["ann"]] == [5, 2, 0, 0]
        assert episode.steps == {"ann": 4, "zoe": 4}
        assert episode.clicks == {"ann": 2, "zoe": 2}

    def test_after_begin_all_may_be_shown_again(self) -> None:
        policy = Policy(ITEMS, memory(ann=[0]), [(Scored(falling), 2)], size=2)
        first = policy.slates(["ann"])
        assert policy.slates(["ann"]) != first
        policy.begin()
        assert policy.slates(["ann"]) == first

    def test_neighbours_of_a_clicked_item(self) -> None:
        vectors = np.eye(30, dtype=np.float32)
        vectors[3, 8] = vectors[9, 8] = 0.5
        near = NearClicked(Neighbours(vectors, 2), [0])
        policy = Policy(ITEMS, memory(ann=[8], zoe=[]), [(near, 2), (Scored(falling), 1)], size=3)
        # Zoe, who has read nothing, is given what the others have.
        assert policy.slates(["ann", "zoe"]) == [
            ["item-3", "item-9", "item-0"],
            ["item-0", "item-1", "item-2"],
        ]

    def test_explored_slates_stay_distinct(self) -> None:
        policy = Policy(ITEMS, memory(ann=[0]), [(Scored(falling), 5)], size=5, explore=0.5)
        calm = policy.slates(["ann"])
        assert calm == [[f"item-{row}" for row in range(1, 6)]]
        policy.begin()
        policy.exploring = True
        shown = [item for _ in range(5) for item in policy.slates(["ann"])[0]]
        assert len(set(shown)) == 25
        assert shown[:5] != calm[0]


class TestLearning:
    def policy(self) -> Policy:
        tables = np.random.default_rng(0).normal(0, 0.1, (2, 33, 6)).astype(np.float32)
        tables[0, :, -1] = tables[1, :, -2] = 1
        config = FunkSVDConfig(factors=4)
        factors = OnlineFactors(tables[0, :3], tables[1, :30], config, 0.1, 0)
        users = memory(ann=[0], zoe=[1])
        return Policy(ITEMS, users, [(Scored(factors.scores), 3)], size=3, factors=factors)

    def test_a_click_is_learned_at_once(self) -> None:
        policy = self.policy()
        before = policy.factors.scores([0])[0]
        policy.learn(["ann"], [policy.slates(["ann"])[0]], [None])
        np.testing.assert_array_equal(policy.factors.scores([0])[0], before)
        policy.learn(["ann"], [["item-7", "item-9"]], ["item-7"])
        change = policy.factors.scores([0])[0] - before
        assert change.argmax() == 7
        assert change[9] < np.median(change)
        assert 7 in policy.memory.clicked[0]

    def test_begin_restores_the_weights(self) -> None:
        policy = self.policy()
        start = policy.factors.weights()
        policy.slates(["ann"])
        policy.learn(["ann"], [["item-7"]], ["item-7"])
        policy.begin(start)
        np.testing.assert_array_equal(policy.factors.items, start["items"])
        assert policy.memory.clicked == {}

    def test_users_who_are_not_known_learn_for_themselves(self) -> None:
        policy = self.policy()
        nobody = policy.factors.users[2].copy()
        policy.slates(["new", "other"])
        policy.learn(["new"], [["item-7"]], ["item-7"])
        rows = policy.memory.rows(["new", "other"])
        policy.factors.scores(rows)
        new, other = policy.factors.users[rows]
        np.testing.assert_array_equal(other, nobody)
        assert (new[:-1] != other[:-1]).all()


class TestEpisode:
    def test_curve_and_score(self) -> None:
        policy = Policy(ITEMS, memory(ann=[]), [(Scored(falling), 3)], size=3)
        episode = run_episode(batched(Readers(slates=2)), policy)
        assert episode.curve == [(1, 1), (2, 2), (3, 3), (4, 4)]
        assert (episode.score, episode.totals) == (0.5, (4, 4))

    def test_a_click_on_what_was_not_shown(self) -> None:
        readers: Any = Readers()
        readers.get_response = lambda slate: "item-29"
        policy = Policy(ITEMS, memory(ann=[]), [(Scored(falling), 3)], size=3)
        with pytest.raises(DataError, match=r"an item of the slate, or None.*'item-29'"):
            run_episode(batched(readers), policy)

    @pytest.mark.parametrize("score", [{"ann": 0.25, "zoe": 0.75}, [0.25, 0.75], np.float32(0.5)])
    def test_scores_by_user_are_averaged(self, score: Any) -> None:
        readers: Any = Readers(1)
        readers.get_score = lambda: score
        policy = Policy(ITEMS, memory(ann=[]), [(Scored(falling), 3)], size=3)
        assert run_episode(batched(readers), policy).score == 0.5

    @pytest.mark.parametrize("score", [None, "high", float("nan"), []])
    def test_a_score_that_is_no_number(self, score: Any) -> None:
        readers: Any = Readers(1)
        readers.get_score = lambda: score
        policy = Policy(ITEMS, memory(ann=[]), [(Scored(falling), 3)], size=3)
        with pytest.raises(DataError, match=r"get_score\(\) should give a number"):
            run_episode(batched(readers), policy)
