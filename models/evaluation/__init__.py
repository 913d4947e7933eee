"""Rankings, their metrics, and the baselines beside them: one protocol a kind of events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from towermill.columns import Events
from towermill.processed import ProcessedFolder
from towermill.registry import Registry

if TYPE_CHECKING:
    from towermill.models.evaluation.protocol import Protocol

#: Events to the protocol by which a model of them is evaluated.
PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "towermill.models.evaluation",
    "towermill.protocols",
    "towermill.models.evaluation.protocol:Protocol",
)


def events_of(processed: Path) -> Events:
    """Return the kind of events of a processed data set."""
    return "impressions" if ProcessedFolder(processed).histories.is_file() else "interactions"
