"""The base class of trackers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from towermill.pipelines.running.finished.run_files import RunFiles


class Tracker(ABC):
    """Records finished runs where a team looks at all of its experiments.

    Parameters
    ----------
    target
        What follows the name in ``--track name:target``, such as an address; may be empty.

    Raises
    ------
    SetupError
        The service or its package is not there. It is made before the first stage runs.
    """

    kind: ClassVar[str]

    @abstractmethod
    def __init__(self, target: str) -> None: ...

    @abstractmethod
    def track(self, run: RunFiles) -> str:
        """Record a finished run, unless it is recorded already; return where to look at it."""


def final_metrics(run: RunFiles) -> dict[str, float]:
    """Return the metrics of the test split by name; ``ease/ndcg@10`` is that of a baseline."""
    named = {f"{baseline}/": values for baseline, values in run.metrics["baselines"].items()}
    return dict(_finite({"": run.metrics["metrics"], **named}))


def epoch_metrics(run: RunFiles) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the number and the measurements of each epoch.

    These are ``train/loss``, ``train/learning_rate`` and ``train/rows_per_second``, and the metrics
    of the validation split such as ``validation/ndcg@10``. A blend's parts stand before these:
    ``history/train/loss``.
    """
    for epoch in run.history:
        part = f"{epoch['part']}/" if epoch.get("part") else ""
        names = ("loss", "learning_rate", "rows_per_second")
        train = {name: epoch[name] for name in names if name in epoch}
        validation = epoch.get("metrics", {})
        groups = {f"{part}train/": train, f"{part}validation/": validation}
        yield int(epoch["epoch"]), dict(_finite(groups))


def _finite(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for prefix, values in groups.items():
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                yield f"{prefix}{name}", float(value)
