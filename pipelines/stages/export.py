"""The stage `export`: write a bundle from a trained model, checked by its gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from towermill.pipelines.stages.base import Inputs, Stage, feature_kinds, model_on_gpu

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime


def export(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Write the bundle and check it against the live model."""
    from towermill.pipelines.export.export import export_bundle
    from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster
    from towermill.runtime.code import code_of

    spread = spread_over_cluster(inputs, recipe.model, runtime)
    packages = code_of(*STAGE.roots(recipe)).packages
    export_bundle(inputs, recipe, out / "bundle", spread, packages)


STAGE = Stage(
    "export",
    ("process", "train", "evaluate"),
    # The manifest records the recipe. All but `export` are in the keys of the inputs as well.
    (
        *("name", "description", "source", "filters", "split", "features", "text"),
        *("model", "train", "evaluate", "export", "continue_from", "runtime.seed"),
    ),
    __name__,
    export,
    parts=feature_kinds,
    spreads=True,
    gpu=model_on_gpu,
)
