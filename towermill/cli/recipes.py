"""Commands on recipes and their data: init, recipes, schema and check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from towermill.cli.bundle import ClusterOption, JsonOption
from towermill.cli.recipe_options import (
    DeviceOption,
    OutOption,
    RecipeArgument,
    SetOption,
    load,
)
from towermill.cli.show import show_findings
from towermill.cli.terminal import print_json, print_table, say
from towermill.errors import RecipeError
from towermill.files import replacing

app = typer.Typer()

#: Where editors find the schema, beside the recipe.
_SCHEMA = Path(".towermill", "recipe.schema.json")


@app.command()
def init(
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA…", help="Files or folders: the log, its items and users."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The recipe. Default: named after the log.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the recipe.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema/--no-schema", help="Write the schema that editors read.")
    ] = True,
) -> None:
    """Draft a recipe from data: guess tables, columns, formats, and a model that suits them."""
    from towermill.pipelines.recipe.drafting.draft import draft_recipe, recipe_path
    from towermill.pipelines.recipe.load import validate_recipe

    path = out or recipe_path(data)
    if path.suffix not in (".yaml", ".yml"):
        raise RecipeError(f"--out should be a YAML file, such as {path.stem}.yaml. Received: {out}")
    if path.exists() and not force:
        raise RecipeError(
            f"{path} exists. Name another file by --out, or overwrite it with --force."
        )
    draft = draft_recipe(data, _ask if sys.stdin.isatty() else None)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"# yaml-language-server: $schema={_SCHEMA.as_posix()}\n" if schema else ""
    with replacing(path) as partial:
        partial.write_text(head + draft.text, encoding="utf-8")
        validate_recipe({"name": path.stem, **yaml.safe_load(draft.text)})
    if schema:
        _write_schema(path.parent / _SCHEMA)
    print_table(["", "guess", "why, or examples"], draft.rows)
    for check in draft.checks:
        say(f"Check: {check}")
    typer.echo(f"recipe: {path}")
    typer.echo(f"next: towermill run {path}")


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


def _write_schema(path: Path) -> None:
    from towermill.pipelines.bundle.records import to_json
    from towermill.pipelines.recipe.schema import recipe_schema

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(to_json(recipe_schema(), indent=1), encoding="utf-8")


def _ask(question: str, answers: Sequence[str]) -> str:
    say(question)
    for number, answer in enumerate(answers, start=1):
        say(f"  {number}  {answer}")
    chosen = 0
    while not 1 <= chosen <= len(answers):
        chosen = typer.prompt(f"Number (1 to {len(answers)})", default=1, type=int, err=True)
    return answers[chosen - 1]


@app.command()
def check(
    recipe: RecipeArgument,
    changes: SetOption = None,
    out: OutOption = Path("runs"),
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a recipe's data before training: rows, nulls, splits, leaks, drift.

    Ends with code 1 if something is alarming.
    """
    from towermill.pipelines.running.check.check import check as check_data
    from towermill.pipelines.running.check.findings import Level

    found = check_data(load(recipe, changes, device, cluster), out)
    if as_json:
        print_json([vars(one) for one in found])
    else:
        show_findings(found)
    if any(one.level is Level.ALARM for one in found):
        raise typer.Exit(1)
