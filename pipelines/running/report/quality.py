"""How good a run's model is: the deciding metric, beside baselines, and in slices."""

from __future__ import annotations

from typing import Any

import polars as pl

from towermill.columns import BASELINE_PREFIX
from towermill.models.evaluation.bootstrap import bootstrap_by_user
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.report import charts

#: The model's name in charts.
MODEL = "model"
_SAMPLES = 500


def quality(run: RunFiles) -> dict[str, Any]:
    """Return the metrics of a run and their charts."""
    told, metric = run.metrics, run.deciding
    values = {MODEL: run.value} | {n: v[metric] for n, v in told["baselines"].items()}
    intervals = _intervals(run)
    best = max(told["baselines"], key=lambda name: values[name], default=None)
    compared = {
        name: (found["difference"], found["interval"])
        for name, found in told["compared"]["baselines"].items()
    }
    return {
        "metric": metric,
        "value": run.value,
        "interval": intervals.get(MODEL),
        "best": best,
        "difference": None if best is None else compared[best],
        "protocol": told["protocol"],
        "queries": told["queries"],
        "queries_in_all": told["queries_in_all"],
        "left_out": {n.replace("_", " "): v for n, v in told["left_out"].items() if v},
        "bars": charts.bars(values, intervals, MODEL),
        "differences": charts.differences(compared) if compared else None,
        "columns": [MODEL, *told["baselines"]],
        "rows": [
            (name, [value, *(other.get(name) for other in told["baselines"].values())])
            for name, value in told["metrics"].items()
        ],
        "slices": _slices(told, metric),
        "targets": told.get("targets", {}),
    }


def _intervals(run: RunFiles) -> dict[str, tuple[float, float]]:
    """Return the bootstrap interval of the deciding metric, of the model and each baseline."""
    found = pl.read_parquet(run.queries)
    if found["user"].n_unique() < 2:
        return {}
    values = {MODEL: found[run.deciding].to_numpy()} | {
        name.removeprefix(BASELINE_PREFIX): found[name].to_numpy()
        for name in found.columns
        if name.startswith(BASELINE_PREFIX)
    }
    return bootstrap_by_user(values, found["user"].to_numpy(), samples=_SAMPLES)


def _slices(told: dict[str, Any], deciding: str) -> list[dict[str, Any]]:
    """Return a chart for each kind of slice: by users, items, histories or ages."""
    groups: dict[str, dict[str, Any]] = {}
    for name, found in told.get("slices", {}).items():
        kind, _, part = name.partition(":")
        groups.setdefault(kind, {})[part] = found
    result = []
    for kind, parts in groups.items():
        first = next(iter(parts.values()))
        metric = deciding if deciding in first["metrics"] else next(iter(first["metrics"]))
        points = {}
        for part, found in parts.items():
            count = next(v for k, v in found.items() if k not in ("metrics", "baselines"))
            if metric in found["metrics"]:
                label = f"{part} ({count:,})"
                points[label] = {MODEL: found["metrics"][metric]} | found.get("baselines", {})
        if points:
            chart = charts.slice_points(points, MODEL)
            result.append({"kind": kind, "metric": metric, "chart": chart})
    return result
