"""The command line. Commands import what they need when they run: ``--help`` loads none of it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towermill import __version__
from towermill.cli import bundle as bundle_commands
from towermill.cli import environment as environment_commands
from towermill.cli import items as item_commands
from towermill.cli import recipes as recipe_commands
from towermill.cli import runs as run_commands
from towermill.cli.bundle import ClusterOption, JsonOption
from towermill.cli.recipe_options import (
    ContinueOption,
    DeviceOption,
    ForceOption,
    FromOption,
    OnlyOption,
    OutOption,
    RecipeArgument,
    SetOption,
    ToOption,
    TrackOption,
    load,
)
from towermill.cli.show import show_result, show_simulation, show_trials
from towermill.cli.terminal import (
    LogFormat,
    global_options_first,
    print_json,
    print_table,
    say,
    set_up_logging,
)
from towermill.errors import TowermillError
from towermill.extras import missing_for_training
from towermill.registry import distrusting
from towermill.runtime.device import quiet_tensorflow

if TYPE_CHECKING:
    from towermill.pipelines import Selection

app = typer.Typer(
    help="From raw interaction logs to artifacts that a recommender serves, with one recipe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(recipe_commands.app)
app.add_typer(bundle_commands.app)
app.add_typer(item_commands.app)
app.add_typer(run_commands.app)
app.add_typer(environment_commands.app)


@app.command()
def run(
    recipe: RecipeArgument,
    changes: SetOption = None,
    out: OutOption = Path("runs"),
    first: FromOption = None,
    last: ToOption = None,
    only: OnlyOption = None,
    force: ForceOption = None,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    continue_from: ContinueOption = None,
    track: TrackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe, skipping finished stages."""
    from towermill.pipelines import run as run_recipe

    selection = _selection(first, last, only, force)
    loaded = load(recipe, changes, device, cluster, continue_from)
    with _says_how_to_resume():
        steps = run_recipe(loaded, out, selection, track=track)
    show_result(loaded, steps, out, as_json)


@app.command()
def plan(
    recipe: RecipeArgument,
    changes: SetOption = None,
    out: OutOption = Path("runs"),
    first: FromOption = None,
    last: ToOption = None,
    only: OnlyOption = None,
    force: ForceOption = None,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    continue_from: ContinueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which stages would run, and why."""
    from towermill.pipelines import plan as plan_recipe

    selection = _selection(first, last, only, force)
    loaded = load(recipe, changes, device, cluster, continue_from)
    steps = plan_recipe(loaded, out, selection)
    if as_json:
        print_json(
            [
                {"stage": s.stage.name, "runs": s.runs, "reason": s.reason, "key": s.key}
                for s in steps
            ]
        )
        return
    print_table(
        ["stage", "runs", "why"],
        [[s.stage.name, "yes" if s.runs else "no", s.reason] for s in steps],
    )


@app.command()
def tune(
    recipe: RecipeArgument,
    trials: Annotated[
        int, typer.Option("--trials", help="Total number of trials, including earlier calls.")
    ] = 20,
    changes: SetOption = None,
    out: OutOption = Path("runs"),
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", help="Concurrent trials. Default: 1, or one per worker on a cluster."
        ),
    ] = 0,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the ranges of a recipe's section `tune`; a second call continues the study."""
    from towermill.pipelines import tune as tune_recipe

    loaded = load(recipe, changes, device, cluster)
    with _says_how_to_resume():
        tuned = tune_recipe(loaded, out, trials, jobs)
    if as_json:
        print_json(vars(tuned))
    else:
        show_trials(tuned)
    if tuned.best is None:
        raise typer.Exit(1)


@app.command()
def simulate(
    recipe: RecipeArgument,
    episodes: Annotated[
        int | None,
        typer.Option("--episodes", help="Training episodes; the same number of test episodes."),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Comma-separated seeds.")] = "0",
    environment: Annotated[
        str | None,
        typer.Option("--environment", help="A custom environment, as package.module:name."),
    ] = None,
    out: OutOption = Path("runs"),
    changes: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate users of a recipe's bundle, compared with popular, random and ideal slates."""
    from towermill.errors import RecipeError
    from towermill.pipelines.simulation.simulate import load_environment
    from towermill.pipelines.simulation.simulate import simulate as try_out

    extra = [f"simulate.episodes={episodes}"] if episodes is not None else []
    loaded = load(recipe, [*(changes or []), *extra], device, None)
    if not all(seed.strip().isdigit() for seed in seeds.split(",")):
        raise RecipeError(f"--seeds should be comma-separated numbers from 0. Received: {seeds!r}")
    theirs = None if environment is None else load_environment(environment)
    numbers = [int(seed) for seed in seeds.split(",")]
    found = try_out(loaded, out, seeds=numbers, environment=theirs)
    if as_json:
        print_json(found)
        return
    show_simulation(found)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Of messages: text, or a JSON object a line.")
    ] = LogFormat.TEXT,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run code that a recipe, run or bundle has or names.")
    ] = False,
) -> None:
    """From raw interaction logs to artifacts that a recommender serves, with one recipe."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    context.with_resource(distrusting(not trust))
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    set_up_logging(level, log_format)


def main() -> None:
    """Run the command line; a user error ends it with one message and exit code 2."""
    quiet_tensorflow()
    try:
        app(global_options_first(sys.argv[1:]), prog_name="towermill")
    except TowermillError as error:
        say(f"towermill: {error}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name is None or importlib.util.find_spec("nvtabular") is not None:
            raise
        say(f"towermill: {missing_for_training(error.name)}")
        sys.exit(2)
    except OSError as error:  # of the machine, such as a full disk
        logging.getLogger("towermill").debug("where it failed", exc_info=error)
        say(f"towermill: {error}. Check the disk and the permissions, and repeat the command.")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@contextlib.contextmanager
def _says_how_to_resume() -> Iterator[None]:
    try:
        yield
    except TowermillError:
        raise
    except (KeyboardInterrupt, Exception):
        say(f"Stopped. Finished stages are kept. To resume: {_resume_command()}")
        raise


def _resume_command() -> str:
    """Return the command line as given, without --force, which would start over."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word == "--force":
            next(words, None)
        elif not word.startswith("--force="):
            kept.append(word)
    return shlex.join(["towermill", *kept])


def _selection(
    first: str | None, last: str | None, only: str | None, force: list[str] | None
) -> Selection:
    from towermill.errors import RecipeError
    from towermill.pipelines import Selection
    from towermill.pipelines.stages.stages import STAGE_NAMES

    if only and (first or last):
        raise RecipeError("--only names the one stage to run; leave out --from and --to.")
    return Selection(
        only or first or STAGE_NAMES[0], only or last or STAGE_NAMES[-1], tuple(force or ())
    )


if __name__ == "__main__":
    main()
