"""The stage `process`: canonical tables to encoded splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towermill.pipelines.stages.base import Inputs, Stage, feature_kinds
from towermill.workflows.process import PROCESSES

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.registry import Place
    from towermill.runtime.device import Runtime
    from towermill.runtime.gpu import Use


def process(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Filter, split and encode; see `towermill.workflows.process`."""
    from towermill.workflows.process.process import process as process_tables
    from towermill.workflows.tables import read_tables

    tables = read_tables(inputs["prepare"])
    share = recipe.continue_from.replay if recipe.continue_from else 0.0
    events = PROCESSES.get(tables.events).of_recipe(tables, recipe)
    process_tables(events, out, inputs.get("earlier.process"), share)


def parts(recipe: Recipe) -> Sequence[Place]:
    """Return where the processing of the recipe's events is defined, and feature kinds."""
    return (PROCESSES.place(recipe.events), *feature_kinds(recipe))


def text_files(recipe: Recipe) -> Sequence[Path]:
    """Return the files that `text` names, where a text is read."""
    return recipe.text.files() if recipe.events == "impressions" or recipe.text.vectors else ()


def gpu_use(recipe: Recipe) -> Use:
    """Return what computes on a GPU: cuDF, and TensorFlow where texts become vectors."""
    return "both" if recipe.text.vectors else "features"


STAGE = Stage(
    "process",
    ("prepare",),
    ("filters", "split", "features", "text", "continue_from.replay"),
    __name__,
    process,
    parts=parts,
    files=text_files,
    earlier=("process",),
    spreads=True,
    gpu=gpu_use,
)
