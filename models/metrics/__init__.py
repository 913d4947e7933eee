"""Metrics as formulas over ranked lists and scored impressions: one class a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from towermill.columns import Events
from towermill.registry import Registry

#: Metrics of lists that are ranked from the whole catalogue.
CATALOGUE_METRICS: Registry[Any] = Registry(
    "metric",
    "towermill.models.metrics.catalogue",
    "towermill.metrics",
    "towermill.models.metrics.catalogue.base:Metric",
)
#: Metrics of what was shown, ranked within each impression.
IMPRESSION_METRICS: Registry[Any] = Registry(
    "impression metric",
    "towermill.models.metrics.impressions",
    "towermill.impression_metrics",
    "towermill.models.metrics.impressions.base:ImpressionMetric",
)
METRICS: Final[Mapping[Events, Registry[Any]]] = {
    "interactions": CATALOGUE_METRICS,
    "impressions": IMPRESSION_METRICS,
}


def metrics_of(registry: Registry[Any], base: Any, others: Sequence[str] = ()) -> list[Any]:
    """Return Towermill's own metrics that extend `base`, and others by name, in their order."""
    names = dict.fromkeys([*registry.own, *others])
    classes = [registry.get(name) for name in names]
    chosen = sorted((c for c in classes if issubclass(c, base)), key=lambda c: c.order)
    return [metric() for metric in chosen]
