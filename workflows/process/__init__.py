"""The process stage: canonical tables to encoded splits."""

from __future__ import annotations

from typing import Any, Final

from towermill.registry import Registry

#: What `towermill.workflows.process.process.process` does differently for each kind of events.
PROCESSES: Final[Registry[Any]] = Registry(
    "event kind",
    "towermill.workflows.process",
    "towermill.events",
    "towermill.workflows.process.base:EventKind",
)
