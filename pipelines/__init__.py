"""What runs: recipes, stages, the runner, bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towermill.pipelines.bundle import Bundle, Recommendations
from towermill.pipelines.planning import Selection, plan
from towermill.pipelines.recipe import Recipe, load_recipe, shipped_recipes, validate_recipe
from towermill.pipelines.runner import run
from towermill.pipelines.tuning.results import Tuned
from towermill.pipelines.tuning.run import tune

if TYPE_CHECKING:
    from towermill.pipelines.submission import submit

__all__ = [
    "Bundle",
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


def __getattr__(name: str) -> Any:
    """Import what needs Dask when it is asked for: the command line starts without."""
    if name != "submit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from towermill.pipelines.submission import submit

    return submit
