"""Commands on recipes: recipes and schema."""

from __future__ import annotations

import typer

from towermill.cli.bundle import JsonOption
from towermill.cli.terminal import print_json, print_table

app = typer.Typer()


@app.command()
def recipes(as_json: JsonOption = False) -> None:
    """List the recipes that ship."""
    from towermill.pipelines import shipped_recipes

    found = shipped_recipes()
    if as_json:
        print_json([{"name": name, "description": text} for name, text in found.items()])
        return
    print_table(["recipe", ""], [[name, text] for name, text in found.items()])


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors and other programs."""
    from towermill.pipelines.recipe.schema import recipe_schema

    print_json(recipe_schema())
