"""The prepare stage: sources read, checked and written as canonical tables."""

from __future__ import annotations

from typing import Any, Final

from towermill.registry import Registry

#: What `towermill.workflows.prepare.prepare.prepare` checks of each kind of events.
CHECKS: Final[Registry[Any]] = Registry(
    "event kind",
    "towermill.workflows.prepare",
    "towermill.event_checks",
    "towermill.workflows.prepare.base:TableChecks",
)
