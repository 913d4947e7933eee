"""Dask clusters: on this machine's cores, on its GPUs, or an existing one."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from typing import Any

from towermill.errors import SetupError, StageError
from towermill.runtime.cores import cores
from towermill.runtime.device import Runtime
from towermill.runtime.gpu import gpu_count, require_dask_cuda

#: How long work waits for a worker where none is left: a nanny may be starting one again.
_NO_WORKERS = "120s"


@contextlib.contextmanager
def cluster_client(
    runtime: Runtime,
    *,
    workers: int = 0,
    protocol: str = "tcp",
    rmm_pool: float | str = 0.5,
    device_memory_limit: float | str = 0.8,
    spill: bool = True,
    local_directory: str = "",
    timeout: float = 10.0,
) -> Iterator[Any]:
    """Give a ``distributed.Client`` whose processes can run Merlin, or None without a cluster.

    NVTabular uses the client within the block. A cluster started here ends with the block; one that
    was found at an address stays, and only `timeout` is for it.

    Parameters
    ----------
    runtime
        What `resolve` returned.
    workers
        How many processes to start; 0: one a core (``local``), one a GPU (``cuda``). Of ``local``,
        each has one thread of Dask's and its share of the cores for Polars.
    protocol
        Between the processes of ``cuda``: ``tcp``, or ``ucx`` (NVLink, InfiniBand).
    rmm_pool
        What each worker of ``cuda`` takes of its GPU for cuDF at once: a share, or a size such as
        ``"8GB"``; 0 allocates memory as needed. TensorFlow, in a separate process, gets the rest.
    device_memory_limit
        A share or size of a GPU's memory; beyond it a worker of ``cuda`` moves results to the host.
    spill
        Whether cuDF of a worker of ``cuda`` moves to the host what it does not need just then.
    local_directory
        On a fast disk, where workers keep what does not fit into memory; default: a temporary
        folder that goes with the cluster.
    timeout
        Seconds to wait for the scheduler at an address, and for its first worker.

    Raises
    ------
    SetupError
        There is no scheduler at the address or no worker, its processes cannot import Towermill or
        run other versions, or a package that the cluster needs is not installed.
    """
    if runtime.cluster == "none":
        yield None
        return
    with contextlib.ExitStack() as stack:
        if runtime.cluster in ("local", "cuda"):
            scratch = local_directory or stack.enter_context(
                tempfile.TemporaryDirectory(prefix="towermill-dask-", ignore_cleanup_errors=True)
            )
            if runtime.cluster == "local":
                cluster = _local_cluster(stack, workers, scratch)
            else:
                cluster = _cuda_cluster(
                    stack,
                    workers,
                    scratch,
                    protocol=protocol,
                    rmm_pool_size=rmm_pool or None,
                    device_memory_limit=device_memory_limit,
                    enable_cudf_spill=spill,
                )
            from distributed import Client

            client = stack.enter_context(Client(cluster))
        else:
            client = stack.enter_context(_connect(runtime.cluster, timeout))
        from towermill.runtime.plugins import register

        register(client)
        _tell_merlin(stack, client)
        yield client


def _tell_merlin(stack: contextlib.ExitStack, client: Any) -> None:
    """Have Merlin use the client in this block, even if `merlin.core.utils.Serial` was used before.

    After `Serial`, Merlin no longer looks for a client: work would stay in this process.
    """
    from merlin.core.utils import set_dask_client

    set_dask_client(client)
    stack.callback(set_dask_client, "auto")


def _local_cluster(stack: contextlib.ExitStack, workers: int, scratch: str) -> Any:
    from distributed import LocalCluster

    workers = workers or cores()
    _set_up_workers(stack, workers)
    return stack.enter_context(
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            local_directory=scratch,
            dashboard_address=":0",
        )
    )


def _cuda_cluster(
    stack: contextlib.ExitStack, workers: int, scratch: str, *, protocol: str, **memory: Any
) -> Any:
    require_dask_cuda()
    if protocol == "ucx" and importlib.util.find_spec("distributed_ucxx") is None:
        raise SetupError(
            "`protocol` is ucx, but distributed_ucxx is not installed: install "
            "distributed-ucxx-cu12, or use protocol tcp."
        )
    from dask_cuda import LocalCUDACluster

    workers = workers or gpu_count()
    _set_up_workers(stack, workers)
    return stack.enter_context(
        LocalCUDACluster(
            n_workers=workers,
            local_directory=scratch,
            protocol=protocol,
            resources={"GPU": 1},
            dashboard_address=":0",
            **memory,
        )
    )


def _set_up_workers(stack: contextlib.ExitStack, workers: int) -> None:
    """Configure Dask for the workers and scheduler to come.

    Each worker starts as many threads of Polars as there are cores for it, and says nothing of
    pynvml, which merlin-core requires and Dask imports, deprecated as it is. Work that finds no
    worker any more is given up.
    """
    import dask

    # Not by the workers' own argument: LocalCUDACluster replaces that environment by its own. What
    # the environment of this process says goes before it.
    threads = max(cores() // max(workers, 1), 1)
    quiet = "ignore:The pynvml package is deprecated:FutureWarning"
    stack.enter_context(
        dask.config.set(
            {
                "distributed.nanny.environ.POLARS_MAX_THREADS": str(threads),
                "distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": quiet,
                "distributed.scheduler.no-workers-timeout": _NO_WORKERS,
            }
        )
    )


def _connect(address: str, timeout: float) -> Any:
    from distributed import Client

    try:
        # A client that cannot connect stays the process's default, and whatever computes next waits
        # for it without end: so knock first.
        with Client(address, timeout=timeout, set_as_default=False) as knock:
            try:
                knock.wait_for_workers(1, timeout=timeout)
            except TimeoutError as error:
                raise SetupError(
                    f"Expected a worker of the Dask scheduler at {address}; within {timeout:g} s "
                    f"there was none. Start some with `dask worker {address}`."
                ) from error
        return Client(address, timeout=timeout)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise SetupError(
            f"No Dask scheduler answered at {address} within {timeout:g} s ({error}). "
            "Check the address, or start one with `dask scheduler`."
        ) from error


@contextlib.contextmanager
def cluster_failures() -> Iterator[None]:
    """Raise `StageError` where Dask gives up in the block.

    A worker that dies is no failure: Dask does again, on others, what it was doing.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm import CommClosedError
    from distributed.scheduler import NoValidWorkerError, NoWorkerError

    try:
        yield
    except (
        KilledWorker,
        NoValidWorkerError,
        NoWorkerError,
        CommClosedError,
        CancelledError,
        TimeoutError,
    ) as error:
        if getattr(error, "reason", "") == "unknown":  # somebody called `cancel`
            raise
        raise StageError(
            f"The Dask cluster broke off ({type(error).__name__}: {str(error).rstrip('.')}). Its "
            "workers' logs say why; often it is memory, of which fewer workers have more each."
        ) from error
