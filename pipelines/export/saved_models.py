"""Save a tower or a ranker as a SavedModel that loads without Keras and Merlin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from merlin.schema import Schema

from towermill.models.data.tensors import tensor_specs


def save_signature(model: Any, schema: Schema, path: Path, output: str) -> None:
    """Write a model with the one signature ``serving_default``.

    It takes each feature by name: shape ``(rows,)`` int32 or float32; a list as
    ``<name>__values`` ``(values,)`` and ``<name>__offsets`` ``(rows + 1,)`` int32. It returns
    `output`, float32: ``(rows, dim)`` of a tower, ``(rows,)`` of a ranker.
    """

    @tf.function  # type: ignore[untyped-decorator]
    def serve(**features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: tf.cast(model(features, training=False), tf.float32)}

    named = {n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in tensor_specs(schema).items()}
    module = tf.Module()
    # The weights alone: Keras' and Merlin's own objects would have to be importable to load.
    module.weights = model.variables
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function(**named))
