"""Metrics as formulas over ranked lists and scored impressions: one class a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from towermill.columns import Events
from towermill.errors import RecipeError
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
    """Return Towermill's own metrics that extend `base`, and others by name, in their order.

    Raises
    ------
    RecipeError
        A metric is not known, or two would write results of one name.
    """
    classes = dict.fromkeys(registry.get(name) for name in (*registry.own, *others))
    by_kind: dict[str, Any] = {}
    for metric in classes:
        if by_kind.setdefault(metric.kind, metric) is not metric:
            both = [f"{c.__module__}:{c.__name__}" for c in (by_kind[metric.kind], metric)]
            raise RecipeError(
                f"Metrics should differ in their `kind`, which names their results. Received: "
                f"{metric.kind!r} of {' and of '.join(both)}. Rename one of the two."
            )
    return [c() for c in sorted(classes, key=lambda c: c.order) if issubclass(c, base)]
