"""Embedding tables that are too large for a GPU, in the host's memory."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

logger = logging.getLogger(__name__)

_HOST = "/CPU:0"


@contextlib.contextmanager
def tables_in_host(limit: int) -> Iterator[None]:
    """Place tables larger than `limit` bytes that are created in the block in host memory.

    Their rows are looked up and updated there, and only those of a batch are transferred; the
    optimizer's moments are there too. A `limit` of 0 changes nothing.
    """
    if not limit:
        yield
        return

    def create(following: Callable[..., Any], **given: Any) -> Any:
        rows, nbytes = _size(given)
        if nbytes <= limit:
            return following(**given)
        logger.info(
            "a table of %d rows (%.2f GiB) stays in the host's memory", rows, nbytes / 2**30
        )
        with tf.device(_HOST):
            return following(**given)

    with tf.variable_creator_scope(create):
        yield


def _size(given: dict[str, Any]) -> tuple[int, int]:
    """Return rows and bytes of a table to be made; 0 for anything else."""
    value = given.get("initial_value")
    shape = given.get("shape") or getattr(value, "shape", None)
    if shape is None or len(shape) != 2 or None in tuple(shape):
        return 0, 0
    dtype = tf.as_dtype(given.get("dtype") or getattr(value, "dtype", tf.float32))
    return int(shape[0]), math.prod(int(size) for size in shape) * dtype.size


def in_host(model: Any) -> list[str]:
    """Return the names of a model's weights that are in host memory."""
    named = tf.DeviceSpec.from_string(_HOST)
    return [
        weight.name
        for weight in model.trainable_variables
        if tf.DeviceSpec.from_string(weight.device).device_type == named.device_type
        and tf.DeviceSpec.from_string(weight.device).device_index == named.device_index
    ]
