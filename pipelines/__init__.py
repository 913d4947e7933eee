"""Recipes, stages, the runner and bundles.

Everything is imported when it is asked for: to read a bundle needs nothing of what makes one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from towermill.pipelines.bundle.bundle import Bundle as Bundle
    from towermill.pipelines.bundle.query import Query as Query
    from towermill.pipelines.bundle.query import Recommendations as Recommendations
    from towermill.pipelines.recipe.load import (
        load_recipe as load_recipe,
    )
    from towermill.pipelines.recipe.load import (
        shipped_recipes as shipped_recipes,
    )
    from towermill.pipelines.recipe.load import (
        validate_recipe as validate_recipe,
    )
    from towermill.pipelines.recipe.recipe import Recipe as Recipe
    from towermill.pipelines.running.dask import submit as submit
    from towermill.pipelines.running.plan import Selection as Selection
    from towermill.pipelines.running.plan import plan as plan
    from towermill.pipelines.running.result import Run as Run
    from towermill.pipelines.running.run import run as run
    from towermill.pipelines.tuning.results import Tuned as Tuned
    from towermill.pipelines.tuning.run import tune as tune

#: Public name to its module.
_WHERE: Final = {
    "Bundle": "bundle.bundle",
    "Query": "bundle.query",
    "Recipe": "recipe.recipe",
    "Recommendations": "bundle.query",
    "Run": "running.result",
    "Selection": "running.plan",
    "Tuned": "tuning.results",
    "load_recipe": "recipe.load",
    "plan": "running.plan",
    "run": "running.run",
    "shipped_recipes": "recipe.load",
    "submit": "running.dask",
    "tune": "tuning.run",
    "validate_recipe": "recipe.load",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"towermill.pipelines.{_WHERE[name]}"), name)
