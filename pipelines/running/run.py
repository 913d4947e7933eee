"""Run the stages of a recipe in order on this machine, with or without a Dask cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from towermill.extras import require_training
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.execute import in_use, link_latest, require_folder, run_step
from towermill.pipelines.running.plan import Selection, Step, plan
from towermill.pipelines.running.report.write import report_after
from towermill.pipelines.running.result import Run
from towermill.pipelines.running.shared_storage import require_shared
from towermill.pipelines.running.subprocess import run_in_child
from towermill.pipelines.running.tracking.track import open_tracker, record
from towermill.progress import stages
from towermill.runtime.cluster import cluster_client
from towermill.runtime.device import Runtime, quiet_tensorflow, resolve


def run(
    recipe: Recipe,
    out: str | Path,
    selection: Selection | None = None,
    *,
    wait: bool = False,
    progress: bool = True,
    track: str | None = None,
) -> Run:
    """Run what has to run of the recipe, keep it under `out`, and return what it made.

    The result is the list of steps, as planned, with metrics, bundle and report. A report that
    cannot be written is a warning.

    If another process is running a stage, `wait` waits for it; without `wait`, an error is raised.
    At a terminal and in a notebook the stages are shown as they run; not with ``progress=False``.

    A whole run is recorded by the tracker that `track` names, such as
    ``mlflow:http://localhost:5000``; see `Tracker`.

    With a cluster, each stage runs in a separate process on this machine, whose memory is freed
    when it ends, and has the cluster fit, transform and encode. Each stage that computes on a GPU
    also runs in a separate process, which has the GPU to itself. `submit` runs the stages
    themselves on a cluster.

    Raises
    ------
    TowermillError
        Errors of any stage; finished stages are kept, and the same call resumes.
    """
    quiet_tensorflow()
    runtime = resolve(recipe.runtime.device, recipe.runtime.cluster, recipe.runtime.seed)
    out = Path(out)
    tracker = None if track is None else open_tracker(track, selection or Selection())
    steps = plan(recipe, out, selection)
    require_folder(out / recipe.name)
    with in_use(out / recipe.name):
        if any(step.runs for step in steps):
            require_training()
            with cluster_client(runtime, **recipe.runtime.cluster_options()) as client:
                if client is not None:
                    require_shared(client, out / recipe.name)
                _run_steps(steps, recipe, runtime, client, wait=wait, progress=progress)
        folder = link_latest(out / recipe.name, steps)
    report_after(folder, steps)
    done = Run(steps, recipe.name, folder)
    if tracker is not None:
        record(tracker, done.files)
    return done


def _run_steps(
    steps: list[Step],
    recipe: Recipe,
    runtime: Runtime,
    client: Any,
    *,
    wait: bool,
    progress: bool,
) -> None:
    """Run the steps that have to run, each in this process or in one of its own."""
    names = [step.stage.name for step in steps]
    done = [step.stage.name for step in steps if not step.runs]
    # A process of its own draws its bars itself.
    here = client is None and runtime.device == "cpu"
    with stages(names, done, show=progress and here) as board:
        for step in (step for step in steps if step.runs):
            own_process = client is not None or (
                runtime.device == "gpu" and step.stage.gpu(recipe) is not None
            )
            with board.running(step.stage.name):
                if own_process:
                    address = "none" if client is None else client.scheduler.address
                    run_in_child(step, recipe, replace(runtime, cluster=address), wait=wait)
                else:
                    run_step(step, recipe, runtime, wait=wait)
