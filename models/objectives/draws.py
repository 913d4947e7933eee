"""Items drawn at random within a training step, by a counter that is part of the model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def uniform_whole(shape: Any, low: int, high: int, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Return int32 from `low` to below `high`, each as likely; `seed` and `step` decide them."""
    return tf.random.stateless_uniform(
        shape,
        seed=tf.stack([tf.constant(seed, tf.int64), step]),
        minval=low,
        maxval=high,
        dtype=tf.int32,
        alg="philox",  # the same draws on CPU and GPU (but not those that XLA makes)
    )
