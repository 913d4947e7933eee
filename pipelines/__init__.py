"""What runs: recipes, stages, the runner, bundles."""

from towermill.pipelines.bundle import Bundle, Recommendations
from towermill.pipelines.recipe import Recipe, load_recipe, shipped_recipes, validate_recipe
from towermill.pipelines.runner import Selection, plan, run

__all__ = [
    "Bundle",
    "Recipe",
    "Recommendations",
    "Selection",
    "load_recipe",
    "plan",
    "run",
    "shipped_recipes",
    "validate_recipe",
]
