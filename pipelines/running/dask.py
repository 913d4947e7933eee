"""Run a pipeline as Dask futures: each stage on a worker, after the previous one."""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client, Future, Semaphore, get_worker, secede

from towermill.errors import SetupError, StageError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.execute import link_latest, require_folder
from towermill.pipelines.running.plan import Selection, Step, plan
from towermill.pipelines.running.report.write import report_after
from towermill.pipelines.running.shared_storage import require_shared
from towermill.pipelines.running.subprocess import RESUME, run_in_child
from towermill.pipelines.stages.continued_run import EARLIER
from towermill.pipelines.stages.output import MANIFEST
from towermill.runtime.cluster import cluster_failures
from towermill.runtime.device import Runtime
from towermill.runtime.plugins import register

#: The Dask resource of a worker with a GPU: ``dask worker --resources "GPU=1"``.
GPU = "GPU"


class Submitted(Future):  # type: ignore[misc]
    """The future of a pipeline: its result is the list of steps, as `run` returns it."""

    async def _result(self, raiseit: bool = True) -> Any:
        try:
            with cluster_failures():
                return await super()._result(raiseit)
        except StageError as error:
            if RESUME in str(error):
                raise
            # Dask found this one, not the stage's process; its message names the stage's task.
            raise StageError(f"{error} {RESUME}") from error


def submit(
    client: Client, recipe: Recipe, out: str | Path = "runs", selection: Selection | None = None
) -> Submitted:
    """Run a recipe on a cluster and return at once; several run side by side.

    Each stage that has to run is a task that depends on the one before. It runs in a process of
    its own beside the worker, which has the cluster fit, transform and encode, and whose memory is
    given back at its end. As many stages run at a time as there are workers. Stages that another
    run is computing are awaited. The run is cancelled when its future is released
    (``distributed.fire_and_forget`` keeps it running).

    Parameters
    ----------
    client
        A client of any cluster whose processes have Towermill installed.
    recipe
        Only `device` and `seed` of its `runtime` are used. With device gpu, and with auto where
        workers offer the resource ``GPU``, stages that compute on a GPU ask for one each.
    out
        A folder that client and workers see under one path.
    selection
        Which stages; default: all.

    Returns
    -------
    Submitted
        A ``distributed.Future`` of ``list[Step]``. ``result()`` raises an error of a stage with its
        original type, naming the stage; the same call resumes from there.

    Raises
    ------
    SetupError
        Versions differ, a worker does not see a folder or file, or none offers a GPU.
    DataError, RecipeError
        As `plan`.
    """
    register(client)
    root = Path(out).absolute()
    steps = plan(recipe, root, selection)
    require_folder(root / recipe.name)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    needed = any(step.runs and step.stage.gpu(recipe) for step in steps)
    device = device_of(recipe, workers, needed)
    earlier = [
        folder / MANIFEST
        for step in steps
        for name, folder in step.inputs.items()
        if name.startswith(EARLIER)
    ]
    require_shared(client, root / recipe.name, [*recipe.source.files(), *earlier])
    # A pipeline's tasks have names of their own: a second one after a failure is a new attempt.
    attempt = uuid.uuid4().hex[:8]
    done: Future | None = None
    for step in steps:
        if not step.runs:
            continue
        order = _Order(step, recipe, device, Path.cwd(), len(workers))
        done = client.submit(
            run_stage,
            order,
            done,
            key=f"towermill-{recipe.name}-{step.stage.name}-{attempt}",
            resources={GPU: 1} if device == "gpu" and step.stage.gpu(recipe) else None,
            pure=False,
        )
    last = client.submit(
        finish, steps, root / recipe.name, done, key=f"towermill-{recipe.name}-{attempt}"
    )
    return Submitted(last.key, client)


def device_of(recipe: Recipe, workers: dict[str, Any], needed: bool) -> str:
    """Return where stages compute; raise `SetupError` if they need a GPU and no worker has one."""
    if not workers:
        raise SetupError("The Dask cluster should have workers; it has none. Start some.")
    gpus = gpus_of(workers)
    if recipe.runtime.device == "gpu" and needed and not gpus:
        raise SetupError(
            f"`runtime.device` is gpu, but none of the {len(workers)} workers offers a GPU. Start "
            'those that have one with `dask worker --resources "GPU=1"`, or use device cpu.'
        )
    return "gpu" if gpus and recipe.runtime.device != "cpu" else "cpu"


def gpus_of(workers: dict[str, Any]) -> int:
    """Return how many GPUs the workers offer."""
    return sum(int(worker["resources"].get(GPU, 0)) for worker in workers.values())


@dataclass(frozen=True)
class _Order:
    """What a worker receives to run a stage."""

    step: Step
    recipe: Recipe
    device: str
    folder: Path
    at_a_time: int


def run_stage(order: _Order, before: object) -> None:
    """Run a stage in a process beside this worker; a task, after the task `before`.

    It leaves the worker's pool of threads, of which the stage's own tasks may need the last.
    """
    worker = get_worker()
    stopped = partial(is_cancelled, worker, worker.get_current_task())
    secede()
    limit = order.at_a_time
    # Its limit is in its name: Dask takes no other limit for a semaphore that it has.
    with Semaphore(max_leases=limit, name=f"towermill-stages-{limit}"):
        run_in_child(
            order.step,
            order.recipe,
            Runtime(order.device, worker.scheduler.address, order.recipe.runtime.seed),
            wait=True,
            folder=order.folder if order.folder.is_dir() else None,
            log_level=logging.INFO,
            log_format=f"{order.recipe.name}: %(message)s",
            environment=whole_environment(),
            stop=stopped,
        )


def finish(steps: list[Step], root: Path, before: object) -> list[Step]:
    """Link and report the run, if it is whole, and return its steps; after the task `before`."""
    report_after(link_latest(root, steps), steps)
    return steps


def is_cancelled(worker: Any, key: str) -> bool:
    """Return whether a worker's task was cancelled."""
    task = worker.state.tasks.get(key)
    return task is None or task.state in ("cancelled", "resumed")


def whole_environment() -> dict[str, str]:
    """Return this process's environment, less what makes each worker keep to one core."""
    import dask

    ours = dict(os.environ)
    for name in ("distributed.nanny.pre-spawn-environ", "distributed.nanny.environ"):
        for variable, value in dask.config.get(name, {}).items():
            if variable.endswith("_THREADS") and ours.get(variable) == str(value):
                del ours[variable]
    return ours
