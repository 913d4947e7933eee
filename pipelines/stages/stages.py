"""The five stages, in order."""

from __future__ import annotations

from towermill.pipelines.stages import evaluate, export, prepare, process, train
from towermill.pipelines.stages.base import Stage

STAGES: tuple[Stage, ...] = tuple(
    module.STAGE for module in (prepare, process, train, evaluate, export)
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)
