"""Train trials in this process, in child processes, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from towermill.errors import TowermillError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.execute import run_step
from towermill.pipelines.running.plan import Step
from towermill.pipelines.running.shared_storage import require_shared
from towermill.pipelines.running.subprocess import run_in_child
from towermill.pipelines.tuning.trial import Judge, judged
from towermill.runtime.cluster import cluster_client
from towermill.runtime.cores import cores
from towermill.runtime.device import Runtime


@dataclass(frozen=True)
class Order:
    """A trial's training, as passed to the process that runs it."""

    step: Step
    recipe: Recipe
    judge: Judge
    log_level: int


@dataclass(frozen=True)
class Workers:
    """The workers that train.

    Attributes
    ----------
    at_a_time
        Number of concurrent trials.
    submit
        Runs an order and returns a future of None, or of the training's error.
    """

    at_a_time: int
    submit: Callable[[Order], Future[TowermillError | None]]


@contextlib.contextmanager
def workers(recipe: Recipe, root: Path, runtime: Runtime, jobs: int) -> Iterator[Workers]:
    """Yield the workers that run trials; stop them if the block raises.

    Parameters
    ----------
    recipe
        Its `runtime` says which cluster.
    root
        The folder of the recipe's runs, which all workers of a cluster must see.
    runtime
        As resolved.
    jobs
        Concurrent trials. 0: one, or one per worker on a cluster.

    Raises
    ------
    SetupError
        The cluster cannot be used; or the device is gpu, and no worker offers a GPU.
    """
    with cluster_client(runtime, **recipe.runtime.cluster_options()) as client:
        if client is not None:
            with _on_cluster(client, recipe, root, runtime, jobs) as found:
                yield found
        elif jobs > 1:
            with _in_processes(runtime, jobs) as found:
                yield found
        else:
            yield Workers(1, partial(_here, runtime=runtime))


def _here(order: Order, runtime: Runtime) -> Future[TowermillError | None]:
    """Train in this process, at once: TensorFlow is started but once."""
    done: Future[TowermillError | None] = Future()
    step = order.step
    trial = replace(step, stage=judged(step.stage, order.judge))
    try:
        run_step(trial, order.recipe, runtime, wait=True)
    except Exception as error:
        done.set_exception(error)
    else:
        done.set_result(None)
    _forget_models()
    return done


def _forget_models() -> None:
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        tf.keras.backend.clear_session()


@contextlib.contextmanager
def _in_processes(runtime: Runtime, jobs: int) -> Iterator[Workers]:
    stopped = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            # Else each would have a thread a core, and they would wait for one another.
            share = {"TF_NUM_INTRAOP_THREADS": str(max(cores() // jobs, 1))}
            train = partial(
                _in_child,
                runtime=runtime,
                environment={**share, **os.environ},
                stop=stopped.is_set,
            )
            yield Workers(jobs, lambda order: pool.submit(train, order))
        except BaseException:
            stopped.set()
            raise


def _in_child(
    order: Order, runtime: Runtime, environment: Mapping[str, str], **options: Any
) -> None:
    run_in_child(
        order.step,
        order.recipe,
        runtime,
        wait=True,
        around=("towermill.pipelines.tuning.trial:judged", order.judge.model_dump(mode="json")),
        log_level=order.log_level,
        log_format=f"trial {order.judge.number}: %(message)s",
        # Progress bars of several processes would write over one another.
        environment={**environment, "TTY_COMPATIBLE": "0"},
        **options,
    )


@contextlib.contextmanager
def _on_cluster(
    client: Any, recipe: Recipe, root: Path, runtime: Runtime, jobs: int
) -> Iterator[Workers]:
    from towermill.pipelines.running.dask import GPU, device_of, gpus_of

    require_shared(client, root)
    found = client.scheduler_info(n_workers=-1)["workers"]
    device = device_of(recipe, found, needed=True)
    on_gpus = device == "gpu"
    options: dict[str, Any] = {"resources": {GPU: 1}} if on_gpus else {}
    pool: Executor = client.get_executor(pure=False, **options)
    try:
        train = partial(
            _on_worker, runtime=Runtime(device, "none", runtime.seed), folder=Path.cwd()
        )
        yield Workers(
            jobs or (gpus_of(found) if on_gpus else len(found)),
            lambda order: pool.submit(train, order),
        )
    except BaseException:
        pool.shutdown(wait=False)
        raise


def _on_worker(order: Order, runtime: Runtime, folder: Path) -> TowermillError | None:
    """Train in a process beside this worker, which takes no other work meanwhile; a task.

    An error of the training is returned: Dask would log one that is raised as the task's.
    """
    from distributed import get_worker

    from towermill.pipelines.running.dask import is_cancelled, whole_environment

    worker = get_worker()
    try:
        _in_child(
            order,
            runtime,
            whole_environment(),
            folder=folder if folder.is_dir() else None,
            stop=partial(is_cancelled, worker, worker.get_current_task()),
        )
    except TowermillError as error:
        return error
    return None
