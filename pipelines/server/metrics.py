"""Prometheus metrics of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from towermill.pipelines.bundle.manifest import Manifest

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
QUERIES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own.

    Attributes
    ----------
    requests
        By `route`, `method` and `status`.
    seconds
        From a request's first byte to its answer's last, by `route`.
    under_way
        Requests that are being answered.
    batches
        Queries computed together, by `kind`: recommend or similar.
    reloads
        By `outcome`: loaded, unchanged or refused.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "towermill_requests", "Requests answered.", ["route", "method", "status"], **self._kept
        )
        self.seconds = Histogram(
            "towermill_request_seconds",
            "Time to an answer.",
            ["route"],
            buckets=SECONDS,
            **self._kept,
        )
        self.under_way = Gauge("towermill_requests_under_way", "Requests begun.", **self._kept)
        self.batches = Histogram(
            "towermill_batch_size", "Queries in a batch.", ["kind"], buckets=QUERIES, **self._kept
        )
        self.reloads = Counter(
            "towermill_reloads", "Bundles looked at while serving.", ["outcome"], **self._kept
        )
        for outcome in ("loaded", "unchanged", "refused"):
            self.reloads.labels(outcome)
        self._queue = Gauge("towermill_queue_length", "Queries waiting.", ["kind"], **self._kept)
        self._bundle = Gauge(
            "towermill_bundle_info", "The bundle served.", ["id", "recipe", "kind"], **self._kept
        )

    @property
    def _kept(self) -> dict[str, Any]:
        return {"registry": self._registry}

    def serves(self, bundle_id: str, manifest: Manifest) -> None:
        """Name the bundle in service."""
        self._bundle.clear()
        self._bundle.labels(bundle_id, manifest.recipe_name, manifest.kind).set(1)

    def watch_queue(self, kind: str, length: Callable[[], int]) -> None:
        """Ask for a queue's length whenever the metrics are read."""
        self._queue.labels(kind).set_function(length)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
