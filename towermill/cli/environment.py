"""Commands about the environment: what is installed, and what to add."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from towermill.cli.bundle import JsonOption
from towermill.cli.terminal import print_json, print_table, say
from towermill.extras import install as install_packages
from towermill.extras import installer

app = typer.Typer()


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Show versions and device, which parts work, and how to fix the others."""
    from towermill.cli.doctor import examine

    findings = examine()
    if as_json:
        print_json(findings)
    else:
        print_table(
            ["", "", "found", "what to do"],
            [
                ["ok" if f["ok"] else "--", f["name"], f["found"], f["advice"]]
                for f in findings["checks"]
            ],
        )
    if not findings["ok"]:
        raise typer.Exit(1)


@app.command()
def install(
    names: Annotated[
        list[str],
        typer.Argument(help="cpu or gpu, to train; demo, tune, text, als, xgboost, faiss to add."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command of pip alone.")
    ] = False,
) -> None:
    """Add packages at tested versions: `towermill install cpu` (or gpu) adds those that train."""
    command = shlex.join(installer(names))
    if dry_run:
        typer.echo(command)
        return
    say(command)
    install_packages(names)
    say("Installed. To see what works: towermill doctor")
