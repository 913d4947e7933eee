"""What runs: recipes, stages, the runner, bundles.

Everything is imported when it is asked for: to read a bundle needs nothing of what makes one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from towermill.pipelines.bundle import Bundle
    from towermill.pipelines.planning import Selection, plan
    from towermill.pipelines.queries import Query, Recommendations
    from towermill.pipelines.recipe import Recipe, load_recipe, shipped_recipes, validate_recipe
    from towermill.pipelines.runner import run
    from towermill.pipelines.submission import submit
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
    "Bundle": "bundle",
    "Query": "queries",
    "Recipe": "recipe",
    "Recommendations": "queries",
    "Selection": "planning",
    "Tuned": "tuning.results",
    "load_recipe": "recipe",
    "plan": "planning",
    "run": "runner",
    "shipped_recipes": "recipe",
    "submit": "submission",
    "tune": "tuning.run",
    "validate_recipe": "recipe",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"towermill.pipelines.{_WHERE[name]}"), name)
