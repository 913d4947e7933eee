"""Sources: what reads or generates raw data, one class a `source.kind`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from towermill.registry import Registry

if TYPE_CHECKING:
    from towermill.workflows.sources.base import SourceConfig

#: `source.kind` to its configuration, which reads it.
SOURCES: Registry[SourceConfig] = Registry(
    "source",
    "towermill.workflows.sources",
    "towermill.sources",
    "towermill.workflows.sources.base:SourceConfig",
)
