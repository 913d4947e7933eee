"""Commands on finished runs: report, runs, compare and publish."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

RunArgument = Annotated[Path, typer.Argument(help="A finished run: runs/<recipe>/latest.")]


@app.command()
def report(
    run: RunArgument,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a run's report again: one HTML page that needs no network."""
    from towermill.pipelines.running.finished.run_files import RunFiles
    from towermill.pipelines.running.report.write import write_report

    path = write_report(RunFiles.of(run))
    typer.echo(path)
    if show:
        webbrowser.open(path.as_uri())
