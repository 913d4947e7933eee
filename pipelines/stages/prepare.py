"""The stage `prepare`: raw data to canonical tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towermill.pipelines.stages.base import Inputs, Stage
from towermill.workflows.prepare import CHECKS

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.registry import Place
    from towermill.runtime.device import Runtime


def prepare(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Read the source into canonical tables: Parquet, and ``features.json``."""
    from towermill.workflows.prepare.prepare import prepare as prepare_tables

    prepare_tables(recipe.source, out)


def checks(recipe: Recipe) -> Sequence[Place]:
    """Return where the checks of the recipe's events are defined."""
    return (CHECKS.place(recipe.events),)


def raw_files(recipe: Recipe) -> list[Path]:
    """Return the files that the source reads."""
    return recipe.source.files()


STAGE = Stage("prepare", (), ("source",), __name__, prepare, parts=checks, files=raw_files)
