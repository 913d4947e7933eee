"""Run an episode: show slates to the users who are present, until all have left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from towermill.errors import DataError
from towermill.pipelines.simulation.environment import BatchEnvironment
from towermill.pipelines.simulation.policy import Policy


@dataclass
class Episode:
    """The result of an episode.

    Attributes
    ----------
    steps, clicks
        Slates shown and items clicked, by user.
    curve
        After each batch: all slates and all clicks so far.
    score
        What the environment says: the mean share of the horizon survived.
    """

    steps: dict[Any, int] = field(default_factory=dict)
    clicks: dict[Any, int] = field(default_factory=dict)
    curve: list[tuple[int, int]] = field(default_factory=list)
    score: float = 0.0

    @property
    def totals(self) -> tuple[int, int]:
        """All slates and all clicks."""
        return sum(self.steps.values()), sum(self.clicks.values())


def run_episode(environment: BatchEnvironment, policy: Policy) -> Episode:
    """Reset the environment and show slates until no user is left.

    Raises
    ------
    DataError
        A click is on an item that was not shown, or the score is no number.
    """
    environment.reset()
    found = Episode()
    steps = clicks = 0
    while len(users := environment.active()):
        slates = policy.slates(users)
        clicked = environment.respond(users, slates)
        for user, slate, item in zip(users, slates, clicked, strict=True):
            if item is not None and item not in slate:
                raise DataError(
                    "An environment should answer with an item of the slate, or None. Shown to "
                    f"user {user!r}: {slate}; clicked: {item!r}."
                )
            found.steps[user] = found.steps.get(user, 0) + 1
            found.clicks[user] = found.clicks.get(user, 0) + (item is not None)
            clicks += item is not None
        steps += len(users)
        found.curve.append((steps, clicks))
        policy.learn(users, slates, clicked)
    found.score = _number(environment.get_score())
    return found


def _number(score: Any) -> float:
    """Return a score, or the mean of the users' scores."""
    values = list(score.values()) if isinstance(score, Mapping) else score
    try:
        numbers = np.asarray(values, np.float64)
        mean = float(numbers.mean()) if numbers.size else np.nan
    except (TypeError, ValueError):
        mean = np.nan
    if not np.isfinite(mean):
        raise DataError(
            f"An environment's get_score() should give a number, or one a user. Received: {score!r}"
        )
    return mean
