"""The training curves of a run: loss and validation metric by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from towermill.columns import Events
from towermill.models.configs.train import TrainConfig, monitor_of
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.report import charts

#: Protocol to the events that it ranks.
PROTOCOL_EVENTS: Final[dict[str, Events]] = {
    "catalogue": "interactions",
    "impression": "impressions",
}


def training(run: RunFiles) -> list[dict[str, Any]]:
    """Return the curves of a run's model, or of each trained part of a blend."""
    config = TrainConfig.model_validate(run.recipe["train"])
    events = PROTOCOL_EVENTS[run.metrics["protocol"]]
    monitor = monitor_of(config, events, run.metrics.get("targets", ()))
    parts = groupby(run.history, lambda epoch: epoch.get("part", ""))
    return [_curves(part, list(epochs), monitor) for part, epochs in parts]


def _curves(part: str, epochs: Sequence[Mapping[str, Any]], monitor: str) -> dict[str, Any]:
    measured = [epoch for epoch in epochs if monitor in epoch.get("metrics", {})]
    values = [float(epoch["metrics"][monitor]) for epoch in measured]
    numbers = [epoch["epoch"] for epoch in measured]
    best = numbers[values.index(max(values))] if values else None
    losses = [float(epoch["loss"]) for epoch in epochs]
    return {
        "part": part,
        "epochs": len(epochs),
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "monitor": monitor,
        "best": best,
        "value": max(values) if values else None,
        "loss": charts.curve([epoch["epoch"] for epoch in epochs], losses, "loss", None),
        "metric": charts.curve(numbers, values, monitor, best) if values else None,
    }
