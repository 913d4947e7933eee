"""Merlin 23.8 on a current stack: all that NVTabular and Merlin Models need to run, in one place.

NVTabular, merlin-core and merlin-dataloader 23.8 and merlin-models 23.12 were the last releases.
Dask, pandas, TensorFlow and Keras have moved on since. Each function of `dask`, `core`,
`nvtabular` and `keras` patches one cause and says what broke and when. Nothing is patched before
it is needed:

- ``import towermill`` calls `arm`, which costs one entry in `sys.meta_path` and imports nothing;
- the first import of ``merlin`` or ``nvtabular`` calls `activate` (Dask, pandas: the ETL stage);
- the first import of ``merlin.models.tf`` or ``merlin.dataloader.tensorflow`` calls
  `activate_keras` (TensorFlow, Keras: the model stage).

So the rest of Towermill writes ``import nvtabular as nvt``, ``import merlin.models.tf as mm`` and
``import tensorflow as tf``, in any order. Dask workers and schedulers are processes of their own,
which unpickle Merlin's objects: `towermill.runtime.plugins.register` brings the patches to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from towermill.merlin.dask import (
    accept_dask_expr_dependencies,
    ignore_divisions_in_sort,
    keep_lists_in_object_columns,
    restore_dask_names,
    silence_cpu_warning,
)
from towermill.merlin.keras import (
    alias_keras_internals,
    restore_tf_names,
    silence_sampler_warning,
    use_legacy_keras,
    use_legacy_keras_serialization,
)
from towermill.merlin.state import (
    KERAS_PACKAGES,
    TESTED,
    done,
    lock,
)


def activate() -> None:
    """Make NVTabular and merlin-core run on this Dask and pandas; once, from any thread.

    Called by the first import of ``merlin`` or ``nvtabular``; imports Dask but not TensorFlow.

    Warns
    -----
    UserWarning
        For each package whose version is not one of `TESTED`.
    """
    _once("etl", _activate_etl)


def activate_keras() -> None:
    """Make Merlin Models run on this TensorFlow with Keras 2; once, from any thread.

    Called by the first import of ``merlin.models.tf`` or ``merlin.dataloader.tensorflow``.

    Raises
    ------
    SetupError
        If TensorFlow already uses Keras 3 in this process, or tf-keras is not installed.

    Warns
    -----
    UserWarning
        For each package whose version is not one of `TESTED`.
    """
    activate()
    _once("keras", _activate_keras)


def _once(stage: str, patch: Callable[[], None]) -> None:
    if stage in done:
        return
    with lock:
        if stage not in done:
            patch()
            done.add(stage)


def _activate_etl() -> None:
    warn_of_untested_versions(set(TESTED) - set(KERAS_PACKAGES))
    keep_lists_in_object_columns()
    restore_dask_names()
    accept_dask_expr_dependencies()
    ignore_divisions_in_sort()
    silence_cpu_warning()


def _activate_keras() -> None:
    warn_of_untested_versions(KERAS_PACKAGES)
    use_legacy_keras()
    restore_tf_names()
    alias_keras_internals()
    use_legacy_keras_serialization()
    silence_sampler_warning()


def warn_of_untested_versions(packages: Any) -> None:
    """Warn once of each of `packages` that is installed in a version not in `TESTED`.

    Every patch here reaches into internals, which any release may move.
    """
    from importlib.metadata import PackageNotFoundError, version  # slow to load: not in `--help`

    for package in sorted(packages):
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        tested = TESTED[package]
        if not any(found == one or found.startswith(one + ".") for one in tested):
            warnings.warn(
                f"{package} {found} is installed; Towermill was tested with {package} "
                f"{' and '.join(tested)}. If Merlin fails, install that one.",
                UserWarning,
                stacklevel=2,
            )
