"""The patches applied in this process, and the versions that they were tested on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

TESTED: dict[str, tuple[str, ...]] = {
    "nvtabular": ("23.8",),
    "merlin-core": ("23.8",),
    "merlin-dataloader": ("23.8",),
    "merlin-models": ("23.12",),
    "dask": ("2026.1",),
    "distributed": ("2026.1",),
    "numpy": ("2.4",),
    "pandas": ("2.3",),
    "pyarrow": ("23.0",),
    "tensorflow": ("2.21",),
    "tensorflow-cpu": ("2.21",),
    "tf-keras": ("2.21",),
}

KERAS_PACKAGES = ("merlin-models", "tensorflow", "tensorflow-cpu", "tf-keras")
KERAS_MODULES = ("merlin.models.tf", "merlin.dataloader.tensorflow", "merlin.dataloader.tf_utils")
LEGACY_KERAS = ("1", "true", "True")  # the values TensorFlow itself looks for

lock = threading.RLock()
done: set[str] = set()
# What waits for a framework to be imported. A separate lock is not needed: threads
# append to and pop from these lists, which is atomic.
waiting_for: dict[str, list[Callable[[], None]]] = {"tensorflow": [], "torch": []}
around: dict[str, Callable[[], AbstractContextManager[None]]] = {}
