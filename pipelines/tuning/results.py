"""The results of a study: a table of its trials, and the best one as a recipe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from towermill.files import replacing
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.recipe.runtime import RuntimeConfig
from towermill.pipelines.tuning.space import Space
from towermill.pipelines.tuning.study import is_own, reason_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST, TRIALS = "best.yaml", "trials.csv"
_STATES = {"COMPLETE": "done", "PRUNED": "ended early", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Tuned:
    """The result of `tune`.

    Attributes
    ----------
    folder
        The study's folder, with ``best.yaml`` and ``trials.csv``.
    metric
        By which trials were compared, on the validation split.
    trials
        One record each, by number: ``trial``, ``state`` (done, ended early, failed, running), the
        metric (of one ended early: its last), a value by dotted key, ``epochs``, ``seconds``,
        ``own`` (the recipe as it is) and ``reason``.
    best, own
        The records of the best trial and of the recipe as it is; None if none is done.
    """

    folder: Path
    metric: str
    trials: list[dict[str, Any]]
    best: dict[str, Any] | None
    own: dict[str, Any] | None


def write_results(folder: Path, space: Space, trials: Iterable[FrozenTrial]) -> Tuned:
    """Write ``trials.csv`` and, once a trial is done, ``best.yaml``; each is there whole."""
    records = [_record(space, trial) for trial in trials]
    done = [record for record in records if record["state"] == "done"]
    best = max(done, key=lambda record: record[space.metric], default=None)  # the first of equals
    own = next((record for record in done if record["own"]), None)
    table = io.StringIO()
    if records:
        writer = csv.DictWriter(table, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    with replacing(folder / TRIALS) as file:
        file.write_text(table.getvalue())
    if best is not None:
        values = {} if best["own"] else {key: best[key] for key in space.config.parameters}
        with replacing(folder / BEST) as file:
            file.write_text(_as_yaml(space.recipe(values), _heading(space.metric, best, own)))
    return Tuned(folder, space.metric, records, best, own)


def _record(space: Space, trial: FrozenTrial) -> dict[str, Any]:
    own = is_own(trial)
    values = space.own() if own else space.values(trial.params)
    ended = trial.datetime_complete
    return {
        "trial": trial.number,
        "state": _STATES[trial.state.name],
        space.metric: trial.value if trial.state.is_finished() else None,
        **values,
        "epochs": max(trial.intermediate_values, default=0),
        "seconds": ended and round((ended - trial.datetime_start).total_seconds(), 1),  # type: ignore[operator]
        "own": own,
        "reason": reason_of(trial),
    }


def _heading(metric: str, best: dict[str, Any], own: dict[str, Any] | None) -> str:
    said = f"# Trial {best['trial']}: {metric} {best[metric]:.4f} on the validation split"
    if own is not None and not best["own"]:
        said += f"; the recipe as it was: {own[metric]:.4f}"
    return f"{said}.\n"


def _as_yaml(recipe: Recipe, heading: str) -> str:
    # Where trials ran decides nothing, and keys that are not set keep their defaults.
    content = recipe.model_dump(
        mode="json",
        exclude_unset=True,
        exclude={"runtime": set(RuntimeConfig.model_fields) - {"seed"}},
    )
    if not content.get("runtime"):
        content.pop("runtime", None)
    return heading + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
