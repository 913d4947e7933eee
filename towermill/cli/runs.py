"""Commands on finished runs: report, runs, compare, publish and predict."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from towermill.cli.bundle import JsonOption
from towermill.cli.show_runs import show_comparison, show_runs
from towermill.cli.terminal import print_json, say

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


@app.command()
def runs(
    out: Annotated[Path, typer.Option("--out", help="Folder of runs.")] = Path("runs"),
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove outputs that no latest run needs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --clean: only show what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the finished runs, newest first; or remove what no latest run needs."""
    if clean:
        _clean(out, dry_run, yes, as_json)
        return
    if dry_run or yes:
        raise typer.BadParameter("--dry-run and --yes go with --clean.")
    from towermill.pipelines.running.finished.runs import list_runs

    found = list_runs(out)
    if as_json:
        print_json([vars(row) for row in found])
    elif not found:
        say(f"No finished runs in {out}. `towermill run RECIPE` makes one.")
    else:
        show_runs(found)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs, two or more.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the comparison as a page.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs with the first one: recipes, metrics, paired differences."""
    from towermill.pipelines.running.finished.compare import compare as compare_runs
    from towermill.pipelines.running.finished.run_files import RunFiles

    found = compare_runs([RunFiles.of(run) for run in runs])
    if html is not None:
        from towermill.pipelines.running.report.comparison import write_comparison

        write_comparison(found, html)
    if as_json:
        print_json(found.plain())
        return
    show_comparison(found)
    if html is not None:
        typer.echo(html)


@app.command()
def publish(
    run: Annotated[
        Path, typer.Argument(help="A finished run, runs/<recipe>/latest, or a bundle's folder.")
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder to publish into.")],
    as_json: JsonOption = False,
) -> None:
    """Copy a run's bundle, verify the copy, and point DIR/latest at it."""
    from towermill.pipelines.running.finished.publish import publish as publish_bundle

    done = publish_bundle(run, to)
    if as_json:
        print_json(vars(done))
        return
    typer.echo(
        f"{'copied and verified' if done.copied else 'already there, verified'}: {done.path}"
    )
    typer.echo(f"latest: {done.latest}")


@app.command()
def predict(
    run: RunArgument,
    split: Annotated[
        str, typer.Option("--split", help="The source's own part: test or validation.")
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the file and its zip. [default: predictions/<recipe>-<key>-<split>]",
        ),
    ] = None,
) -> None:
    """Rank each impression for a news competition: predictions.txt and its zip."""
    from towermill.errors import RecipeError
    from towermill.pipelines.recommend.competition import write_predictions
    from towermill.pipelines.running.finished.run_files import RunFiles

    if split not in ("test", "validation"):
        raise RecipeError(f"--split should be test or validation. Received: {split!r}")
    files = RunFiles.of(run)
    if out is None:  # runs and parts must not replace one another's file
        out = Path("predictions", f"{files.name}-{files.key[:6]}-{split}")
    typer.echo(write_predictions(files.path, out, split))  # type: ignore[arg-type]


def _clean(out: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    from towermill.pipelines.running.finished.runs import remove, size, unused

    found = unused(out)
    freed = size(found)
    going = bool(found) and not dry_run
    if not as_json:
        for path in found:
            typer.echo(path)
        say(f"{len(found)} folders, {freed / 2**20:,.1f} MiB")
    if going and not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("--clean asks at a terminal; elsewhere, add --yes.")
        going = typer.confirm("Remove them?")
    if going:
        found = unused(out)  # a run may have finished since
        remove(found)
    if as_json:
        print_json({"folders": found, "bytes": freed, "removed": going})
