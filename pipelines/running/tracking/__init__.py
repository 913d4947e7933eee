"""Trackers: what records a finished run elsewhere, one class a name."""

from __future__ import annotations

from towermill.pipelines.running.tracking.base import Tracker
from towermill.registry import Registry

#: The first word of `towermill run --track` to the class that records runs.
TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    "towermill.pipelines.running.tracking",
    "towermill.trackers",
    "towermill.pipelines.running.tracking.base:Tracker",
)
