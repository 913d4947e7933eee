"""The stage `process`: canonical tables to encoded splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towermill.pipelines.stages.base import Inputs, Stage, feature_kinds

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime
    from towermill.runtime.gpu import Use


def process(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Filter, split and encode; see `towermill.workflows.process`."""
    from towermill.workflows.tables import ImpressionTables, read_tables

    tables = read_tables(inputs["prepare"])
    earlier = inputs.get("earlier.process")
    share = recipe.continue_from.replay if recipe.continue_from else 0.0
    if isinstance(tables, ImpressionTables):
        from towermill.workflows.process.impressions import process_impressions

        process_impressions(tables, recipe.split, recipe.features, recipe.text, out, earlier, share)
        return
    from towermill.workflows.process.interactions import process as process_tables

    process_tables(
        tables,
        recipe.filters,
        recipe.split,
        recipe.features,
        out,
        recipe.text,
        earlier=earlier,
        share=share,
    )


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
    parts=feature_kinds,
    files=text_files,
    earlier=("process",),
    spreads=True,
    gpu=gpu_use,
)
