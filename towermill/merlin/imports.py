"""Patches applied as each module of Merlin is first imported."""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from towermill.merlin.activation import activate, activate_keras
from towermill.merlin.core import (
    clean_caches_of_workers,
    defer_compat,
    defer_dtypes,
    load_quietly,
    mend_dispatch,
    mend_parquet,
    partition_pandas_frames,
    pass_on_empty_frames,
    restore_cudf_names,
)
from towermill.merlin.dask import ask_dask_to_keep_lists
from towermill.merlin.keras import ask_for_legacy_keras, tokenize_model_encode
from towermill.merlin.nvtabular import mend_categorify, pad_sliced_arrays
from towermill.merlin.state import KERAS_MODULES, around, lock, waiting_for


def arm() -> None:
    """Watch for the first import of Merlin, TensorFlow and Dask in this process.

    Called by ``import towermill``. Imports nothing and may be called again.
    """
    with lock:
        if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Watcher())


_BEFORE: dict[str, Callable[[], None]] = {
    "tensorflow": ask_for_legacy_keras,
    "tf_keras": ask_for_legacy_keras,
    "dask": ask_dask_to_keep_lists,
    **dict.fromkeys(KERAS_MODULES, activate_keras),
}
_AFTER: dict[str, Callable[[Any], None]] = {
    "merlin.core.compat": restore_cudf_names,
    "merlin.dag.executors": pass_on_empty_frames,
    "merlin.io.dask": partition_pandas_frames,
    "merlin.io.worker": clean_caches_of_workers,
    "merlin.io.parquet": mend_parquet,
    "merlin.core.dispatch": mend_dispatch,
    "merlin.models.tf.utils.batch_utils": tokenize_model_encode,
    "nvtabular.ops.categorify": mend_categorify,
    "nvtabular.ops.list_slice": pad_sliced_arrays,
}
_INSTEAD: dict[str, Callable[[Any, Callable[[Any], None]], None]] = {
    "merlin.core.compat.tensorflow": functools.partial(defer_compat, "tensorflow"),
    "merlin.core.compat.torch": functools.partial(defer_compat, "torch"),
    "merlin.dtypes.mappings.tf": functools.partial(defer_dtypes, "tensorflow"),
    "merlin.dtypes.mappings.torch": functools.partial(defer_dtypes, "torch"),
    "merlin.dtypes.mappings.triton": load_quietly,
    "distributed.diagnostics.nvml": load_quietly,
}


class _Watcher(MetaPathFinder):
    """Finds what others find, and has the functions above run around the module's execution.

    Not in `find_spec` itself, where the import system holds its global lock: imports started there
    can deadlock with those of other threads.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if not any(fullname in table for table in (_BEFORE, _INSTEAD, waiting_for)) and (
            not _is_merlin(fullname)
        ):
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    execute = functools.partial(_execute, fullname, spec.loader.exec_module)
                    spec.loader = copy.copy(spec.loader)  # a zip file's serves all its modules
                    vars(spec.loader)["exec_module"] = execute
                return spec
        return None


def around_import(name: str, context: Callable[[], AbstractContextManager[None]]) -> None:
    """Have the first import of the module `name`, if it is watched, run within ``context()``."""
    around[name] = context


def _is_merlin(name: str) -> bool:
    return name.partition(".")[0] in ("merlin", "nvtabular")


def _execute(name: str, execute: Callable[[Any], None], module: Any) -> None:
    """Execute `module` with what has to come before, after or instead."""
    if _is_merlin(name):
        activate()
    if name in _BEFORE:
        _BEFORE[name]()
    with around.get(name, contextlib.nullcontext)():
        if name in _INSTEAD:
            _INSTEAD[name](module, execute)
        else:
            execute(module)
    if name in _AFTER:
        _AFTER[name](module)
    waiting = waiting_for.get(name, [])
    while waiting:
        waiting.pop()()


def dask_setup(process: Any) -> None:
    """Activate Merlin in a worker or scheduler started with ``--preload``."""
    activate()
