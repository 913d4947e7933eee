"""The parts of `prepare` and `process` for each kind of events: found by name, and apart."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from towermill.registry import Registry
from towermill.workflows.prepare import CHECKS
from towermill.workflows.process import PROCESSES
from towermill.workflows.tables import ImpressionTables, Tables

PARTS = [
    (registry, kind) for registry in (CHECKS, PROCESSES) for kind in (Tables, ImpressionTables)
]


@pytest.mark.parametrize(("registry", "tables"), PARTS)
def test_tables_name_their_part(registry: Registry[Any], tables: Any) -> None:
    part = registry.get(tables.events)
    assert part.kind == tables.events
    assert registry.names() == ["impressions", "interactions"]


@pytest.mark.parametrize("registry", [CHECKS, PROCESSES])
@pytest.mark.parametrize(
    "names", [("interactions", "impressions"), ("impressions", "interactions")]
)
def test_one_kind_does_not_import_the_other(registry: Registry[Any], names: Any) -> None:
    """Else the code of the one would be in the cache key of the other."""
    own, other = (registry.place(name).module for name in names)
    code = f"import sys, {own}; sys.exit({other!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
