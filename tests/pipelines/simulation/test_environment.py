"""The default environment, and what an environment of another's has to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError
from towermill.pipelines.simulation.environment import OneAtATime, SlateEnvironment, batched
from towermill.workflows.sources.generated.slate_world import SlateWorld
from towermill.workflows.sources.generated.slates import SlateLog

SOURCE = SlateLog(users=400, items=300, categories=4, shown=10)


@pytest.fixture(scope="module")
def world() -> SlateWorld:
    return SOURCE.world()


def environment(world: SlateWorld, users: Any = range(1, 401), **options: Any) -> SlateEnvironment:
    return SlateEnvironment(world, users, options.pop("read", {}), **options)


def best(world: SlateWorld, user: int, count: int = 5) -> list[int]:
    utility = world.utility(np.array([user - 1]))[0]
    return (np.argsort(-utility)[:count] + 1).tolist()


class TestClicks:
    def test_chances_are_those_of_the_logit_model(self, world: SlateWorld) -> None:
        slate = [*best(world, 1, 2), 5]
        utility = world.utility(np.array([0]))[0, np.array(slate) - 1]
        weights = np.exp([*utility, world.nothing])
        found = []
        everybody = environment(world, [1])
        for _ in range(4000):
            everybody.reset()
            found.append(everybody.respond([1], [slate])[0])
        shares = [np.mean([item == clicked for clicked in found]) for item in [*slate, None]]
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.03)

    def test_random_slates_are_clicked_one_time_in_ten(self, world: SlateWorld) -> None:
        rng, clicks = np.random.default_rng(0), []
        everybody = environment(world)
        for _ in range(30):
            everybody.reset()
            slates = [rng.choice(300, 5, replace=False) + 1 for _ in range(400)]
            found = everybody.respond(everybody.active(), [s.tolist() for s in slates])
            clicks.append(np.mean([item is not None for item in found]))
        assert np.mean(clicks) == pytest.approx(0.1, abs=0.01)

    def test_what_was_clicked_before_is_not_clicked_again(self, world: SlateWorld) -> None:
        slate = best(world, 1)
        reader = environment(world, [1], read={1: slate}, patience=50)
        assert {reader.respond([1], [slate])[0] for _ in range(50)} == {None}
        fresh = environment(world, [1], patience=50)
        found = [item for _ in range(40) if (item := fresh.respond([1], [slate])[0]) is not None]
        assert found
        assert len(set(found)) == len(found)

    def test_an_empty_slate_is_not_clicked(self, world: SlateWorld) -> None:
        everybody = environment(world, [1, 2])
        assert everybody.respond([1, 2], [[], []]) == [None, None]
        assert everybody.respond([1, 2], [[], best(world, 2)])[0] is None


class TestPatience:
    def test_without_clicks_users_leave_when_it_is_at_an_end(self, world: SlateWorld) -> None:
        users = environment(world, [1, 2], patience=3)
        for left in ([1, 2], [1, 2], [1, 2], []):
            assert users.active() == left
            if left:
                users.respond(left, [[], []])
        assert users.scores() == {1: 3 / 2000, 2: 3 / 2000}
        assert users.get_score() == 3 / 2000

    def test_a_click_gives_back_less_than_a_slate_costs(self, world: SlateWorld) -> None:
        users = environment(world)
        slates = {user: best(world, user, 300) for user in range(1, 401)}
        most = 0
        while here := users.active():
            users.respond(here, [[slates[u].pop(0) for _ in range(5)] for u in here])
            most += 1
        assert users.get_score() > 1.1 * 6 / 2000
        assert most <= 60  # 6 / (1 - 0.9)

    def test_horizon_ends_it(self, world: SlateWorld) -> None:
        users = environment(world, [1], horizon=2, patience=100)
        users.respond([1], [[]])
        users.respond([1], [[]])
        assert users.active() == []
        assert users.get_score() == 1.0

    def test_reset_brings_all_back_to_other_chances(self, world: SlateWorld) -> None:
        users, again = environment(world, seed=3), environment(world, seed=3)
        slates = [best(world, user) for user in range(1, 401)]
        first = users.respond(users.active(), slates)
        assert again.respond(again.active(), slates) == first
        users.reset()
        assert users.active() == list(range(1, 401))
        assert users.respond(users.active(), slates) != first


class TestOneUserAtATime:
    def test_protocol(self, world: SlateWorld) -> None:
        users = environment(world, [7, 3], patience=2)
        seen = []
        while users.has_next_state():
            seen.append(users.get_state())
            assert users.get_response([]) is None
        assert seen == [7, 7, 3, 3]
        assert users.get_score() == 2 / 2000
        with pytest.raises(DataError, match="episode is over"):
            users.get_state()

    def test_wrapped_as_a_batch_of_one(self, world: SlateWorld) -> None:
        one = OneAtATime(environment(world, [7, 3], patience=1))
        assert one.active() == [7]
        assert one.respond([7], [[]]) == [None]
        assert one.active() == [3]
        one.reset()
        assert one.active() == [7]

    def test_the_default_one_stays_a_batch(self, world: SlateWorld) -> None:
        users = environment(world)
        assert batched(users) is users


class TestRefused:
    @pytest.mark.parametrize(
        ("slate", "message"),
        [
            ([1, 1], "an item once"),
            ([0], "from 1 to 300. Received: 0"),
            ([301], "Received: 301"),
            (["1"], "Received: '1'"),
        ],
    )
    def test_slates(self, slate: Any, message: str, world: SlateWorld) -> None:
        with pytest.raises(DataError, match=message):
            environment(world).respond([1], [slate])

    def test_who_is_not_there(self, world: SlateWorld) -> None:
        users = environment(world, [1], patience=1)
        users.respond([1], [[]])
        for user in (1, 2):
            with pytest.raises(DataError, match="has left, or is none"):
                users.respond([user], [[]])

    def test_missing_methods_are_named(self) -> None:
        class Half:
            def reset(self) -> None: ...

            def get_state(self) -> int:
                return 1

        with pytest.raises(DataError, match="Half lacks has_next_state, get_response, get_score"):
            batched(Half())
