"""The simulated users of training episodes and of test episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import RecipeError
from towermill.pipelines.simulation.environment import (
    BatchEnvironment,
    SlateEnvironment,
    batched,
)

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe


class GivenUsers:
    """Environments of the user's own, in the form of batches."""

    def __init__(self, environment: Any, training: Any) -> None:
        self._test = batched(environment)
        self._train = None if training is None else batched(training)

    def both(self, seed: int) -> tuple[BatchEnvironment | None, BatchEnvironment]:
        """Return that of training episodes, if there is one, and that of test episodes."""
        return self._train, self._test

    def known(self, seed: int) -> None:
        """Return no environment whose true utilities are known."""


class DefaultUsers:
    """The default environments of a recipe's source."""

    def __init__(self, recipe: Recipe) -> None:
        source: Any = recipe.source
        self._config = recipe.simulate
        if not source.simulates:
            raise RecipeError(
                f"`source.kind: {source.kind}` has no simulated users; `slates` has. Or give an "
                "environment of your own: see docs/guides/simulator.md."
            )
        if self._config.train_users >= source.users:
            raise RecipeError(
                f"`simulate.train_users` should be fewer than the source's {source.users} users, "
                f"that some are left to test on. Received: {self._config.train_users}"
            )
        self._users = source.users
        self._world = source.world()
        log = source.log(self._world).group_by(USER_ID).agg(ITEM_ID)
        self._read = dict(zip(log[USER_ID].to_list(), log[ITEM_ID].to_list(), strict=True))

    def both(self, seed: int) -> tuple[SlateEnvironment | None, SlateEnvironment]:
        """Return that of training episodes, if it has users, and that of test episodes."""
        last = self._config.train_users
        return self._of(1, last, 2 * seed) if last else None, self.known(seed)

    def known(self, seed: int) -> SlateEnvironment:
        """Return that of test episodes."""
        return self._of(self._config.train_users + 1, self._users, 2 * seed + 1)

    def _of(self, first: int, last: int, seed: int) -> SlateEnvironment:
        return SlateEnvironment(
            self._world,
            range(first, last + 1),
            self._read,
            horizon=self._config.horizon,
            patience=self._config.patience,
            seed=seed,
        )
