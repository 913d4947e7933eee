"""Run a trial of a policy: train it if it learns, test it, and write one folder."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from towermill.errors import DataError
from towermill.files import replacing_folder
from towermill.models.architectures.funk_svd_online import Floats
from towermill.pipelines.simulation.environment import BatchEnvironment
from towermill.pipelines.simulation.episodes import Episode, run_episode
from towermill.pipelines.simulation.policy import Policy

logger = logging.getLogger(__name__)

RESULT, USERS, CURVE, CHECKPOINTS = "result.json", "users.csv", "curve.csv", "checkpoints"
#: Checkpoints of training episodes that are kept, beside the best.
_KEPT = 5


def run_trial(
    name: str,
    policy: Policy,
    training: BatchEnvironment | None,
    testing: BatchEnvironment,
    episodes: int,
    folder: Path,
) -> None:
    """Run a policy's episodes and write the folder, which is there whole or not at all.

    A policy that learns first has `episodes` of training, one after the other with the weights
    that the last one left. Each test episode begins with those of the training episode of the best
    score, as they were at its end; histories go back to the log before each episode of both.

    ``result.json``
        Score, slates and clicks of each episode, and the seconds of all.
    ``users.csv``, ``curve.csv``
        Slates and clicks by user; slates and clicks so far.
    ``checkpoints/``
        For a policy that learns: the weights after each of the last five training episodes, and the
        best.
    """
    with replacing_folder(folder) as partial:
        _try(name, policy, training, testing, episodes, partial)


def _try(
    name: str,
    policy: Policy,
    training: BatchEnvironment | None,
    testing: BatchEnvironment,
    episodes: int,
    partial: Path,
) -> None:
    started = time.monotonic()
    trained: list[Episode] = []
    weights = None
    if policy.factors is not None:
        weights = policy.factors.weights()
        if training is not None:
            weights = _train(name, policy, training, episodes, partial / CHECKPOINTS, trained)
    tested = []
    for number in range(episodes):
        policy.begin(weights)
        tested.append(run_episode(testing, policy))
        _report(name, "test", number, tested[-1])
        if not len(tested[-1].steps):
            raise DataError(
                "The environment should have users: after `reset`, `has_next_state` was false at "
                "once. Give one that has."
            )
    seconds = time.monotonic() - started
    phases = {"train": trained, "test": tested}
    result = {"policy": name, "seconds": round(seconds, 3)} | {
        phase: [_totals(episode) for episode in part] for phase, part in phases.items()
    }
    _users(phases).write_csv(partial / USERS)
    _curves(phases).write_csv(partial / CURVE)
    (partial / RESULT).write_text(json.dumps(result, indent=2))


def _train(
    name: str,
    policy: Policy,
    environment: BatchEnvironment,
    episodes: int,
    folder: Path,
    found: list[Episode],
) -> dict[str, Floats]:
    """Run training episodes, keep checkpoints, and return the best weights."""
    folder.mkdir()
    best: dict[str, Floats] = {}
    policy.exploring = True
    for number in range(episodes):
        policy.begin()
        found.append(run_episode(environment, policy))
        _report(name, "train", number, found[-1])
        weights = policy.factors.weights()  # type: ignore[union-attr]
        np.savez(folder / f"episode-{number + 1}.npz", **weights)
        (folder / f"episode-{number + 1 - _KEPT}.npz").unlink(missing_ok=True)
        if found[-1].score >= max(episode.score for episode in found):
            best = weights
            np.savez(folder / "best.npz", **weights)
    policy.exploring = False
    return best


def _report(name: str, phase: str, number: int, episode: Episode) -> None:
    steps, clicks = episode.totals
    message = "%s, %s episode %d: score %.5f, %d slates, %d clicks"
    logger.info(message, name, phase, number + 1, episode.score, steps, clicks)


def _totals(episode: Episode) -> dict[str, Any]:
    steps, clicks = episode.totals
    return {"score": episode.score, "users": len(episode.steps), "steps": steps, "clicks": clicks}


def _users(phases: dict[str, list[Episode]]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame(
            {
                "user_id": [str(user) for user in episode.steps],
                "steps": list(episode.steps.values()),
                "clicks": list(episode.clicks.values()),
            }
        ).select(pl.lit(phase).alias("phase"), pl.lit(number + 1).alias("episode"), pl.all())
        for phase, part in phases.items()
        for number, episode in enumerate(part)
    )


def _curves(phases: dict[str, list[Episode]]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame(episode.curve, schema=["steps", "clicks"], orient="row").select(
            pl.lit(phase).alias("phase"), pl.lit(number + 1).alias("episode"), pl.all()
        )
        for phase, part in phases.items()
        for number, episode in enumerate(part)
    )
