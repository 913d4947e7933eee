"""A stage's process in which a training is a formula, for trials beside this process."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from towermill.pipelines.running import subprocess as child
from towermill.pipelines.stages.stages import STAGES

sys.path[:0] = [str(Path(__file__).parent)]

from tuning_world import World  # noqa: E402

if __name__ == "__main__":
    world = World()
    world.diverges = lambda recipe: recipe.model.embedding_dim == 24  # type: ignore[union-attr]
    child.STAGES = tuple(
        replace(stage, run=world.work(stage.name), spreads=False) for stage in STAGES
    )
    child.main()
