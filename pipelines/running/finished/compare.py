"""Compare finished runs: recipes, metrics, and paired differences on the same test queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from towermill.columns import BASELINE_PREFIX
from towermill.errors import DataError
from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.pipelines.running.finished.run_files import RunFiles, dotted

#: Columns of ``queries.parquet`` that are no metrics.
_KEYS: Final = ("query", "nth", "user")


@dataclass(frozen=True)
class Paired:
    """The differences of a run to the first one, on the test queries of both.

    Attributes
    ----------
    queries
        Queries with the same user and answers in both runs.
    of
        Queries of the two runs.
    differences
        Metric to the mean difference.
    intervals
        Metric to its 95 % bootstrap interval over users; empty for a single user.
    """

    queries: int
    of: tuple[int, int]
    differences: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Comparison:
    """What differs between runs.

    Attributes
    ----------
    runs
        Name of each run to its files, the first one first.
    recipes
        Dotted key to the values of each run, of keys whose values differ.
    deciding
        The metric by which the first run is judged.
    metrics
        Metric to the values of each run, None where a run lacks it; the deciding one first.
    paired
        Name of each run but the first to its paired differences; None without common queries.
    """

    runs: dict[str, RunFiles]
    recipes: dict[str, list[Any]]
    deciding: str
    metrics: dict[str, list[float | None]]
    paired: dict[str, Paired | None]

    def plain(self) -> dict[str, Any]:
        """Return it as plain types, for JSON."""
        return {
            "runs": {name: str(run.path) for name, run in self.runs.items()},
            "recipes": self.recipes,
            "deciding": self.deciding,
            "metrics": self.metrics,
            "paired": {n: None if p is None else vars(p) for n, p in self.paired.items()},
        }


def compare(runs: Sequence[RunFiles]) -> Comparison:
    """Compare two or more finished runs, each with the first one.

    Queries are the same where user and answers have the same raw ids, so that runs with other
    features, filters or encodings can be compared, too.

    Raises
    ------
    DataError
        There are fewer than two runs, two of them are the same, or one was evaluated by an older
        Towermill.
    """
    if len({run.path for run in runs}) < max(2, len(runs)):
        raise DataError(
            "Expected at least two different runs to compare. Received: "
            f"{', '.join(str(run.path) for run in runs)}. `towermill runs` lists them."
        )
    first, *others = [_by_query(run) for run in runs]
    names = _names(runs)
    flat = [dict(dotted(run.recipe)) for run in runs]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    values = {key: [one.get(key) for one in flat] for key in keys if key != "name"}
    deciding = runs[0].deciding
    metrics = list(dict.fromkeys([deciding, *(m for run in runs for m in run.metrics["metrics"])]))
    return Comparison(
        runs=dict(zip(names, runs, strict=True)),
        recipes={key: each for key, each in values.items() if any(v != each[0] for v in each)},
        deciding=deciding,
        metrics={name: [run.metrics["metrics"].get(name) for run in runs] for name in metrics},
        paired={name: _paired(first, other) for name, other in zip(names[1:], others, strict=True)},
    )


def _names(runs: Sequence[RunFiles]) -> list[str]:
    """Return the recipes' names; where two are alike with the key, or else the path."""
    names = [run.name for run in runs]
    keyed = [f"{run.name} {run.key[:6]}" for run in runs]
    return [
        name if names.count(name) == 1 else key if keyed.count(key) == 1 else str(run.path)
        for name, key, run in zip(names, keyed, runs, strict=True)
    ]


def _by_query(run: RunFiles) -> pl.DataFrame:
    if not run.queries.is_file():
        raise DataError(
            f"Expected the metrics of each query in {run.queries}, which this version's `evaluate` "
            "writes. Run the recipe again."
        )
    found = pl.read_parquet(run.queries)
    return found.with_columns(nth=pl.int_range(pl.len()).over("query"))


def _paired(first: pl.DataFrame, other: pl.DataFrame) -> Paired | None:
    names = [
        name
        for name in first.columns
        if name in other.columns and name not in _KEYS and not name.startswith(BASELINE_PREFIX)
    ]
    both = first.join(other, on=["query", "nth"], how="inner", suffix=":other")
    if not both.height or not names:
        return None
    values = {n: (both[f"{n}:other"] - both[n]).cast(pl.Float64).to_numpy() for n in names}
    defined = {name: value for name, value in values.items() if not np.isnan(value).all()}
    users = both["user"].to_numpy()
    several = len(np.unique(users)) > 1
    return Paired(
        queries=both.height,
        of=(first.height, other.height),
        differences={name: float(np.nanmean(value)) for name, value in defined.items()},
        intervals=bootstrap_by_user(defined, users) if several else {},
    )
