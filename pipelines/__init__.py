"""Recipes, stages, the runner and bundles.

Everything is imported when it is asked for: to read a bundle needs nothing of what makes one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from towermill.pipelines.bundle.bundle import Bundle
    from towermill.pipelines.bundle.query import Query, Recommendations
    from towermill.pipelines.recipe.load import load_recipe, shipped_recipes, validate_recipe
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.pipelines.running.dask import submit
    from towermill.pipelines.running.plan import Selection, plan
    from towermill.pipelines.running.run import run
    from towermill.pipelines.tuning.results import Tuned
    from towermill.pipelines.tuning.run import tune

__all__ = [
    "Bundle",
    "Query",
    "Recipe",
    "Recommendations",
    "Selection",
    "Tuned",
    "load_recipe",
    "plan",
    "run",
    "shipped_recipes",
    "submit",
    "tune",
    "validate_recipe",
]

_WHERE: Final = {
    "Bundle": "bundle.bundle",
    "Query": "bundle.query",
    "Recipe": "recipe.recipe",
    "Recommendations": "bundle.query",
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


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"towermill.pipelines.{_WHERE[name]}"), name)
