"""Set a run's device and seeds, and what TensorFlow writes to the terminal.

Nothing here imports TensorFlow or Merlin before it has to. `resolve` first, then the rest: both
look for GPUs when they are imported. See `towermill.runtime.gpu` for sharing GPU memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from towermill import merlin
from towermill.errors import SetupError, did_you_mean
from towermill.runtime.gpu import gpu_count, missing_for_gpu, require_dask_cuda

logger = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "gpu")
CLUSTERS = ("none", "local", "cuda")


@dataclass(frozen=True)
class Runtime:
    """Where a run computes.

    Attributes
    ----------
    device
        ``"cpu"`` or ``"gpu"``.
    cluster
        ``"none"`` (this process), ``"local"`` (a worker process a core), ``"cuda"`` (a worker a
        GPU), or the address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``.
    seed
        Of every random choice.
    """

    device: str = "cpu"
    cluster: str = "none"
    seed: int = 0


def resolve(device: str = "auto", cluster: str = "none", seed: int = 0) -> Runtime:
    """Decide on the device, and hide all GPUs from this process if it is the CPU.

    Call it before TensorFlow or Merlin is imported. ``CUDA_VISIBLE_DEVICES`` is set to nothing for
    the CPU, so that neither they nor processes started from here look for a GPU.

    Parameters
    ----------
    device
        ``"cpu"``, ``"gpu"``, or ``"auto"``: the GPU if a GPU is visible and cuDF is installed.
    cluster
        ``"none"``, ``"local"``, ``"cuda"``, or a scheduler's address with its protocol.
    seed
        A number of at least 0 and below 2³².

    Raises
    ------
    SetupError
        If an argument is not one of these; if ``"gpu"`` or ``"cuda"`` is asked for and a GPU or a
        package is missing; or if it is too late to hide the GPUs.
    """
    if device not in DEVICES:
        raise SetupError(
            f"`device` should be one of {', '.join(DEVICES)}. Received: {device!r}."
            + did_you_mean(str(device), DEVICES)
        )
    if cluster not in CLUSTERS and "://" not in str(cluster):
        raise SetupError(
            f"`cluster` should be one of {', '.join(CLUSTERS)}, or the address of a Dask scheduler "
            f"such as tcp://10.0.0.1:8786. Received: {cluster!r}."
            + did_you_mean(str(cluster), CLUSTERS)
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise SetupError(f"`seed` should be a whole number from 0 to 2³²-1. Received: {seed!r}.")
    if device == "cpu" and cluster == "cuda":
        raise SetupError(
            "`cluster` is cuda, which needs `device` gpu or auto, and `device` is cpu. "
            "Use cluster local."
        )
    missing = "" if device == "cpu" else missing_for_gpu()
    if missing and (device == "gpu" or cluster == "cuda"):
        raise SetupError(
            f"`device` {device} with `cluster` {cluster} needs a GPU, but {missing} "
            "Use device cpu to run without one."
        )
    if cluster == "cuda":
        require_dask_cuda()
    if device == "cpu" or missing:
        if missing and gpu_count():
            logger.warning("`device` auto takes the CPU, though a GPU is there: %s", missing)
        _hide_gpus()
        return Runtime("cpu", cluster, seed)
    return Runtime("gpu", cluster, seed)


def _hide_gpus() -> None:
    has_gpu = sys.modules.get("merlin.core.has_gpu")  # what Merlin found when it was imported
    if has_gpu is not None and has_gpu.HAS_GPU:
        raise SetupError(
            "`device` is cpu, but Merlin was imported before and has found a GPU. Start again with "
            "CUDA_VISIBLE_DEVICES= in the environment, or resolve the runtime first."
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def seed_everything(seed: int, *, tensorflow: bool | None = None) -> None:
    """Seed Python's, NumPy's and TensorFlow's generators.

    Parameters
    ----------
    seed
        A number of at least 0 and below 2³².
    tensorflow
        Whether to seed TensorFlow, importing it if need be. Default: if it is imported already.
    """
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # NVTabular and Merlin draw from this one
    if tensorflow or (tensorflow is None and "tensorflow" in sys.modules):
        import tensorflow as tf

        tf.keras.utils.set_random_seed(seed)


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up messages out of the terminal; before it is imported.

    Of its C++ code only fatal errors are shown (others reach Python as exceptions; what it logs as
    errors at start-up are not), unless ``TF_CPP_MIN_LOG_LEVEL`` asks for more in the environment.
    TensorFlow logs oneDNN's status before it reads the log level: those lines are filtered from
    what its import writes to standard error, and the rest is shown after the import.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    merlin.around_import("tensorflow", _without_startup_lines)


@contextlib.contextmanager
def _without_startup_lines() -> Iterator[None]:
    try:
        sys.stderr.flush()
        terminal = os.dup(2)
    except (AttributeError, OSError):  # no standard error, as in a service
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            rest = [line for line in held if not any(noise in line for noise in _NOISE)]
            os.write(2, b"".join(rest))


_NOISE = (
    b"All log messages before absl::InitializeLog() is called are written to STDERR",
    b"oneDNN custom operations are on.",
)
