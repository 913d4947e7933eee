"""Environments of users: the default one, and custom ones by the published protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError
from towermill.workflows.sources.generated.slate_world import SlateWorld, choose

#: Most of a slate's cost in patience that a click gives back (SlateQ: Ie et al., IJCAI 2019).
_BONUS: Final = 0.9


class Environment(Protocol):
    """The published protocol: one user at a time."""

    def reset(self) -> Any:
        """Begin an episode."""

    def has_next_state(self) -> bool:
        """Return whether a user is still there."""

    def get_state(self) -> Any:
        """Return the id of the user whose turn it is."""

    def get_response(self, slate: Sequence[Any]) -> Any:
        """Show item ids to that user, and return the clicked one, or None."""

    def get_score(self) -> Any:
        """Return the mean score of the episode's users, or their scores."""


class BatchEnvironment(Protocol):
    """The same for all users at once: what episodes run on."""

    def reset(self) -> Any:
        """Begin an episode."""

    def active(self) -> Sequence[Any]:
        """Return the ids of those whose turn it is, none at the end."""

    def respond(self, users: Sequence[Any], slates: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the item each user clicked in their slate, or None."""

    def get_score(self) -> Any:
        """Return the mean score of the episode's users, or their scores."""


class SlateEnvironment:
    """Readers of a `SlateWorld` who stay as long as they like what they see.

    A reader clicks at most one item of a slate, by the logit model of the world; items clicked
    before are not clicked again. Patience begins at `patience` slates; each slate costs 1, and a
    click gives back up to 0.9 of it: times the chance that the reader would click the item if it
    were alone. At 0 the reader leaves: that is the time budget of SlateQ (Ie et al., IJCAI 2019),
    by which every visit ends. A score is the share of `horizon` slates survived.

    It has both protocols: all readers at once, or one after the other.

    Parameters
    ----------
    world
        From `SlateLog.world`.
    users
        Ids, from 1, of the readers of an episode.
    read
        Ids of the items that each had clicked before, by user id.
    horizon, patience
        See above.
    seed
        Seed of the clicks, with the number of the episode.
    """

    def __init__(
        self,
        world: SlateWorld,
        users: Sequence[int],
        read: Mapping[int, Iterable[int]],
        *,
        horizon: int = 2000,
        patience: float = 6.0,
        seed: int = 0,
    ) -> None:
        self.world, self.users = world, np.asarray(users, np.int64)
        self.read = {user: frozenset(read.get(user, ())) for user in self.users.tolist()}
        self.horizon, self.patience, self.seed = horizon, patience, seed
        self._row = {user: row for row, user in enumerate(self.users.tolist())}
        self._episode = -1
        self.reset()

    def reset(self) -> None:
        """Begin an episode: all users are back, with their initial patience and history."""
        self._episode += 1
        self._rng = np.random.default_rng([self.seed, 31, self._episode])
        self._left = np.full(len(self.users), float(self.patience))
        self._steps = np.zeros(len(self.users), np.int64)
        self._clicked: list[set[int]] = [set(self.read[user]) for user in self.users.tolist()]

    def active(self) -> list[int]:
        """Return the ids of those who are still there."""
        found: list[int] = self.users[self._here].tolist()
        return found

    @property
    def _here(self) -> NDArray[np.bool_]:
        return (self._left > 1e-9) & (self._steps < self.horizon)

    def respond(self, users: Sequence[int], slates: Sequence[Sequence[int]]) -> list[int | None]:
        """Return the item each user, all of them active, clicked in their slate, or None.

        Raises
        ------
        DataError
            A user has left, or a slate holds an unknown item or an item twice.
        """
        rows = self._rows_of(users)
        shown = np.full((len(rows), max((len(s) for s in slates), default=0)), -1)
        for line, (row, slate) in enumerate(zip(rows, slates, strict=True)):
            _check_slate(slate, len(self.world.appeal))
            known = self._clicked[row]
            shown[line, : len(slate)] = [-1 if item in known else item - 1 for item in slate]
        of_world = self.users[rows] - 1
        place = choose(self.world, of_world, shown, self._rng)
        self._steps[rows] += 1
        self._left[rows] -= 1
        hit = place >= 0
        items = shown[hit, place[hit]]
        liked = self.world.utility_of(of_world[hit], items[:, None])[:, 0] - self.world.nothing
        self._left[rows[hit]] += _BONUS / (1 + np.exp(-liked))
        found: list[int | None] = [None] * len(rows)
        for index, item in zip(np.flatnonzero(hit).tolist(), items.tolist(), strict=True):
            found[index] = item + 1
            self._clicked[rows[index]].add(item + 1)
        return found

    def _rows_of(self, users: Sequence[int]) -> NDArray[np.int64]:
        here = self._here
        for user in users:
            if user not in self._row or not here[self._row[user]]:
                raise DataError(
                    f"Slates should be shown to users who are there. {user!r} has left, or is none "
                    "of this environment."
                )
        return np.array([self._row[user] for user in users], np.int64)

    def scores(self) -> dict[int, float]:
        """Return the share of the horizon that each user has survived."""
        return dict(zip(self.users.tolist(), (self._steps / self.horizon).tolist(), strict=True))

    def get_score(self) -> float:
        """Return the mean of `scores`."""
        return float(self._steps.mean() / self.horizon) if len(self.users) else 0.0

    def has_next_state(self) -> bool:
        """Return whether anybody is still there."""
        return bool(self._here.any())

    def get_state(self) -> int:
        """Return the id of the first who is still there."""
        if not self.has_next_state():
            raise DataError("The episode is over: all users have left. Call reset().")
        return int(self.users[self._here.argmax()])

    def get_response(self, slate: Sequence[int]) -> int | None:
        """Show item ids to the user of `get_state`, and return the clicked one, or None."""
        return self.respond([self.get_state()], [slate])[0]


def _check_slate(slate: Sequence[Any], items: int) -> None:
    if len(set(slate)) < len(slate):
        raise DataError(f"A slate should hold an item once. Received: {list(slate)}")
    for item in slate:
        if not isinstance(item, Integral) or not 1 <= int(item) <= items:
            raise DataError(f"A slate should hold item ids from 1 to {items}. Received: {item!r}")


class OneAtATime:
    """An environment of the published protocol, as one of batches of one user.

    Parameters
    ----------
    environment
        Has `reset`, `has_next_state`, `get_state`, `get_response` and `get_score`.

    Raises
    ------
    DataError
        It lacks one of them.
    """

    def __init__(self, environment: Any) -> None:
        names = [name for name in vars(Environment) if not name.startswith("_")]
        missing = [n for n in names if not callable(getattr(environment, n, None))]
        if missing:
            raise DataError(
                f"An environment should have the methods {', '.join(names)}. "
                f"{type(environment).__name__} lacks {', '.join(missing)}: see "
                "docs/guides/simulator.md."
            )
        self.environment = environment
        self.reset: Callable[[], Any] = environment.reset
        self.get_score: Callable[[], Any] = environment.get_score

    def active(self) -> list[Any]:
        """Return the user whose turn it is."""
        return [self.environment.get_state()] if self.environment.has_next_state() else []

    def respond(self, users: Sequence[Any], slates: Sequence[Sequence[Any]]) -> list[Any]:
        """Show the slate to that user."""
        return [self.environment.get_response(list(slates[0]))]


def batched(environment: Any) -> BatchEnvironment:
    """Return an environment in the form of batches, whichever of both protocols it has."""
    if all(callable(getattr(environment, name, None)) for name in ("active", "respond")):
        return environment  # type: ignore[no-any-return]
    return OneAtATime(environment)
