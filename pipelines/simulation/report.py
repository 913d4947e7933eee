"""Report trials: a table, the users' scores as CSV, and a plot of clicks against slates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from towermill.files import replacing
from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.pipelines.simulation.trial import CURVE, RESULT, USERS


def write_report(
    trials: dict[tuple[str, int], Path], horizon: int, out: Path
) -> dict[str, dict[str, Any]]:
    """Write ``scores.csv`` and ``clicks.png`` into `out`, and return each policy's figures.

    Parameters
    ----------
    trials
        The folder of each policy and seed.
    horizon
        Slates of a whole score.
    out
        Exists.

    Returns
    -------
    By policy: ``score``, the mean of test users' scores over all seeds and episodes; ``interval``,
    its 95 % bootstrap interval over users (of the users, not of the worlds that they might have
    lived in); ``by_seed``; ``steps`` and ``clicks`` of a test episode, on average; ``train``, the
    score of each training episode, on average over seeds; ``steps_per_second``.
    """
    users = pl.concat(
        pl.read_csv(folder / USERS, schema_overrides={"user_id": pl.String}).select(
            pl.lit(policy).alias("policy"), pl.lit(seed).alias("seed"), pl.all()
        )
        for (policy, seed), folder in trials.items()
    ).with_columns(score=pl.col("steps") / horizon)
    with replacing(out / "scores.csv") as file:
        users.write_csv(file)
    with replacing(out / "clicks.png") as file:
        _plot(trials, file)
    return {
        policy: _figures(
            users.filter(pl.col("policy") == policy),
            [json.loads((f / RESULT).read_text()) for (p, _), f in trials.items() if p == policy],
        )
        for policy in dict.fromkeys(policy for policy, _ in trials)
    }


def _figures(users: pl.DataFrame, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    tested = users.filter(pl.col("phase") == "test")
    who = tested["user_id"].rank("dense").to_numpy()
    episodes = [episode for result in results for episode in result["test"]]
    steps = sum(e["steps"] for r in results for e in r["test"] + r["train"])
    by_seed = [float(np.mean([e["score"] for e in result["test"]])) for result in results]
    # A custom environment may keep its own score, which is not reported by user.
    by_user = bool(np.isclose(np.mean(by_seed), np.mean(tested["score"].to_numpy())))
    interval = None
    if by_user and len(np.unique(who)) > 1:
        interval = bootstrap_by_user({"score": tested["score"]}, who)["score"]
    return {
        "score": float(np.mean(by_seed)),
        "interval": interval,
        "by_seed": by_seed,
        "steps": float(np.mean([episode["steps"] for episode in episodes])),
        "clicks": float(np.mean([episode["clicks"] for episode in episodes])),
        "train": np.mean([[e["score"] for e in r["train"]] for r in results], axis=0).tolist(),
        "steps_per_second": round(steps / max(sum(r["seconds"] for r in results), 1e-9)),
    }


def _plot(trials: dict[tuple[str, int], Path], path: Path) -> None:
    """Draw the test episodes of the first seed one after the other, a line a policy."""

    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    drawn: set[str] = set()
    for (policy, _), folder in trials.items():
        if policy in drawn:
            continue
        drawn.add(policy)
        curve = pl.read_csv(folder / CURVE).filter(pl.col("phase") == "test")
        ends = curve.group_by("episode", maintain_order=True).agg(pl.col("steps", "clicks").max())
        so_far = pl.col("steps", "clicks")
        before = ends.select("episode", so_far.cum_sum() - so_far)
        whole = curve.join(before, on="episode", suffix="_before", maintain_order="left")
        steps = [0, *(whole["steps"] + whole["steps_before"])]
        axes.plot(steps, [0, *(whole["clicks"] + whole["clicks_before"])], label=policy)
    axes.set_xlabel("slates shown, of all test episodes")
    axes.set_ylabel("clicks")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
