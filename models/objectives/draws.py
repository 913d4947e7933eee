"""Items drawn at random within a training step, by a counter that is part of the model."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

#: The same draws on CPU and GPU (but not those that XLA makes).
_PHILOX: Final = "philox"


def weighted_whole(count: Any, cumulative: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Return positions drawn with replacement, int32 ``(count,)``; `seed` and `step` decide them.

    Parameters
    ----------
    cumulative
        float64 ``(positions,)``: running sum of the probabilities, up to 1.
    """
    uniform = tf.random.stateless_uniform(
        [count], seed=_seed(seed, step), dtype=tf.float64, alg=_PHILOX
    )
    positions = tf.searchsorted(cumulative, uniform, side="right")
    return tf.minimum(positions, tf.size(cumulative) - 1)


def uniform_whole(shape: Any, low: int, high: int, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Return int32 from `low` to below `high`, each as likely; `seed` and `step` decide them."""
    return tf.random.stateless_uniform(
        shape, seed=_seed(seed, step), minval=low, maxval=high, dtype=tf.int32, alg=_PHILOX
    )


def _seed(seed: int, step: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), step])
