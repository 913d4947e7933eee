"""Find the GPU, describe it, and divide its memory between cuDF and TensorFlow.

`claim` sets the share of each, and has to run before either starts. Nothing here imports either
before it has to.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from towermill.errors import DataError, SetupError
from towermill.extras import install_command

logger = logging.getLogger(__name__)

#: Which of cuDF and TensorFlow a stage uses; cuDF also loads the training's batches.
Use = Literal["features", "model", "both"]
#: What rmm takes its memory by: whole blocks.
_BLOCK = 256
#: What `claim` has settled for this process.
_claimed: dict[str, int] = {}


@dataclass(frozen=True)
class Memory:
    """How a GPU's memory is shared.

    Attributes
    ----------
    rmm_pool
        What cuDF takes at once where it makes features: a share of the GPU, or bytes as text
        (``"8GB"``); 0 takes memory as it comes.
    tensorflow_memory
        What TensorFlow may take at most, likewise; 0 is no limit.
    spill
        Whether cuDF moves what it does not need to the host when memory runs out.
    host_tables
        An embedding table that is larger stays in the host's memory; 0 keeps none there.
    """

    rmm_pool: float | str = 0.5
    tensorflow_memory: float | str = 0.0
    spill: bool = True
    host_tables: float | str = 0.25


@dataclass(frozen=True)
class GPU:
    """One GPU, as the driver reports it; memory in bytes."""

    name: str
    memory: int
    free: int


def gpu_count() -> int:
    """Return how many NVIDIA GPUs this process may use; asks the driver, not CUDA.

    ``CUDA_VISIBLE_DEVICES`` counts as CUDA counts it: up to the first entry that is no device.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (not visible.strip() or visible.strip().startswith("-")):
        return 0
    gpus = _gpus_by_nvml()
    if visible is not None:
        entries = [entry.strip() for entry in visible.split(",")]
        if "-1" in entries:
            entries = entries[: entries.index("-1")]
        gpus = min(gpus, len(entries))
    return gpus


@contextmanager
def _nvml() -> Iterator[Any]:
    """Give NVIDIA's management library, or None where it or the driver is missing."""
    try:
        with warnings.catch_warnings():  # nvidia-ml-py's module, but merlin-core requires pynvml's
            warnings.filterwarnings("ignore", "The pynvml package is deprecated", FutureWarning)
            pynvml: Any = importlib.import_module("pynvml")
        pynvml.nvmlInit()
    except ImportError:
        yield None
        return
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _gpus_by_nvml() -> int:
    with _nvml() as nvml:
        return _gpus_by_driver() if nvml is None else int(nvml.nvmlDeviceGetCount())


def _gpus_by_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def driver() -> str:
    """Return the driver's version, or an empty string if there is none."""
    with _nvml() as nvml:
        return "" if nvml is None else _text(nvml.nvmlSystemGetDriverVersion())


def gpus() -> list[GPU]:
    """Return all GPUs that the driver knows, this process's or not."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        found = []
        for index in range(int(nvml.nvmlDeviceGetCount())):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(GPU(_text(nvml.nvmlDeviceGetName(handle)), memory.total, memory.free))
        return found


def utilisation() -> list[tuple[int, int]]:
    """Return of each GPU the share of time it has just worked, in percent, and bytes in use."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(int(nvml.nvmlDeviceGetCount())))
        return [
            (
                int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
                int(nvml.nvmlDeviceGetMemoryInfo(handle).used),
            )
            for handle in handles
        ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def missing_for_gpu() -> str:
    """Say what is missing for a GPU, as the end of a sentence, or return an empty string."""
    if gpu_count() == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = f" (CUDA_VISIBLE_DEVICES is {visible!r})" if visible is not None else ""
        return f"no NVIDIA GPU is visible to this process{hidden}."
    lacking = [name for name in ("cudf", "dask_cudf") if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} is not installed. Install it: `{install_command('gpu')}`."
    return ""


def require_dask_cuda() -> None:
    """Raise `SetupError` if dask_cuda is not installed."""
    if importlib.util.find_spec("dask_cuda") is None:
        raise SetupError(
            "`cluster` is cuda, but dask_cuda is not installed. "
            f"Install it: {install_command('gpu')}"
        )


def claim(use: Use, memory: Memory | None = None) -> None:
    """Share out this process's GPU, before cuDF and TensorFlow start on it.

    First cuDF's part, then TensorFlow's, which never gives back what it has taken. For ``features``
    and ``both`` rmm takes its pool; for ``model``, where cuDF only loads batches, memory is
    allocated on demand. For ``features`` TensorFlow is not imported. All of it is given back when
    the process ends: stages that compute on a GPU have one each.

    Parameters
    ----------
    use
        What the process does.
    memory
        See `Memory`.

    Raises
    ------
    SetupError
        The GPU has less memory than is asked for, or TensorFlow has started on it already.
    """
    memory = memory or Memory()
    logger.debug("the GPU is taken for %s: %s", use, memory)
    _start_cudf(memory.rmm_pool if use != "model" else 0, memory.spill)
    _claimed["host_tables"] = _bytes(memory.host_tables, "runtime.host_tables")
    if use != "features":
        start_tensorflow_on_gpu(memory.tensorflow_memory)


def table_limit() -> int:
    """Return the bytes from which on a table stays on the host, as claimed; without a GPU 0."""
    return _claimed.get("host_tables", 0)


def _start_cudf(pool: float | str, spill: bool) -> None:
    size = _bytes(pool, "runtime.rmm_pool")
    rmm: Any = importlib.import_module("rmm")
    try:
        if size:
            driver = rmm.mr.CudaMemoryResource()
            resource = rmm.mr.PoolMemoryResource(driver, initial_pool_size=size)
        else:
            resource = rmm.mr.CudaAsyncMemoryResource()
    except MemoryError as error:
        raise SetupError(
            f"cuDF's pool should have {size / 2**30:.1f} GiB of the GPU's memory; there is not as "
            f"much left ({error}). Lower `runtime.rmm_pool` (now {pool}), or stop other "
            "processes on the GPU: nvidia-smi lists them."
        ) from error
    rmm.mr.set_current_device_resource(resource)
    importlib.import_module("cudf").set_option("spill", spill)


def start_tensorflow_on_gpu(limit: float | str = 0.0) -> int:
    """Start TensorFlow with a limit of each GPU's memory, and return the number of GPUs.

    With a limit of 0, it takes memory as it needs it; by default it would take all at once and
    leave nothing to cuDF. It has to be started here: Merlin sets its own limit when it is imported
    (half, or ``TF_MEMORY_ALLOCATION``), which overrides growth.

    Raises
    ------
    SetupError
        TensorFlow has started on a GPU already, or a GPU has less memory.
    """
    # From the driver's pool, which takes back what is not in use: cuDF is on the same GPU.
    os.environ.setdefault("TF_GPU_ALLOCATOR", "cuda_malloc_async")
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    size = _bytes(limit, "runtime.tensorflow_memory") if found else 0
    for one in found:
        try:
            if size:
                logical = tf.config.LogicalDeviceConfiguration(memory_limit=size // 2**20)
                tf.config.set_logical_device_configuration(one, [logical])
            else:
                tf.config.experimental.set_memory_growth(one, True)
        except (RuntimeError, ValueError) as error:
            raise SetupError(
                f"How much TensorFlow takes of {one.name} can no longer be set: {error} Do so "
                "before computing and before importing merlin.models.tf."
            ) from error
    for said in ("TensorFlow runtime already initialized", "Virtual devices cannot be modified"):
        warnings.filterwarnings("ignore", said, UserWarning)  # Merlin's own limit, refused
    tf.config.list_logical_devices("GPU")
    return len(found)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Raise `DataError`, naming what to change, where the GPU's memory does not do for the block.

    rmm raises a ``MemoryError`` once neither its pool nor cuDF's spilling has room left.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(
            f"The GPU's memory should hold {what}; it was used up ({error}). Give cuDF more of it "
            "with `runtime.rmm_pool`, make the vocabulary smaller with the feature's `max_size` or "
            "`freq_threshold`, or set `runtime.device: cpu`."
        ) from error


def _bytes(share: float | str, key: str) -> int:
    """Return a share of the smallest GPU, or a size, in whole blocks of rmm's.

    Raises
    ------
    SetupError
        No GPU is as large.
    """
    if not share:
        return 0
    there = min((gpu.memory for gpu in gpus()), default=0)
    if isinstance(share, str):
        from dask.utils import parse_bytes

        size = int(parse_bytes(share))
    else:
        size = int(share * there)
    if there and size > there:
        raise SetupError(
            f"`{key}` should fit the GPU, which has {there / 2**30:.1f} GiB. Received: {share}"
        )
    return size // _BLOCK * _BLOCK
