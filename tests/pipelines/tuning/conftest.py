"""A world in which a training is a formula."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from towermill.pipelines.running import plan as planning
from towermill.pipelines.stages.stages import STAGES

sys.path[:0] = [str(Path(__file__).parent)]

from tuning_world import World  # noqa: E402


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The five stages in the places of the real ones."""
    found = World()
    stages = tuple(replace(stage, run=found.work(stage.name)) for stage in STAGES)
    monkeypatch.setattr(planning, "STAGES", stages)
    return found
