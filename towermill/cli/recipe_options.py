"""What commands on a recipe share: their arguments, and how the recipe is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from towermill.pipelines import Recipe

RecipeArgument = Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key: train.epochs=3.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of runs.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu or gpu.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First stage to run.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last stage to run.")]
OnlyOption = Annotated[str | None, typer.Option("--only", help="Run this stage only.")]
ForceOption = Annotated[
    list[str] | None, typer.Option("--force", help="Run this stage again, and those after it.")
]
ContinueOption = Annotated[
    Path | None,
    typer.Option(
        "--continue-from", metavar="RUN", help="Continue this finished run with new data."
    ),
]
TrackOption = Annotated[
    str | None,
    typer.Option(
        "--track", metavar="TRACKER", help="Record the finished run: mlflow or mlflow:URI."
    ),
]


def load(
    name: str,
    changes: list[str] | None,
    device: str | None,
    cluster: str | None,
    continue_from: Path | None = None,
) -> Recipe:
    """Return the recipe of a name or file, with the changes of ``--set`` and of other options."""
    from towermill.pipelines import load_recipe

    extra = [f"runtime.device={device}"] if device else []
    extra += [f"runtime.cluster={cluster}"] if cluster else []
    extra += [f"continue_from.run={json.dumps(str(continue_from))}"] if continue_from else []
    return load_recipe(name, [*(changes or []), *extra])
