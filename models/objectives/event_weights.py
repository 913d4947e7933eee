"""Means over training rows, weighted by their events."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from towermill.columns import EVENT_WEIGHT


def weighted_mean(losses: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the mean of ``(rows,)`` losses by the batch's weights of events, if it has them.

    Examples
    --------
    >>> losses = tf.constant([1.0, 4.0])
    >>> float(weighted_mean(losses, {}))
    2.5
    >>> float(weighted_mean(losses, {"event_weight": tf.constant([1.0, 3.0])}))
    3.25
    """
    if EVENT_WEIGHT not in batch:
        return tf.reduce_mean(losses)
    weights = batch[EVENT_WEIGHT]
    return tf.reduce_sum(weights * losses) / tf.reduce_sum(weights)


def relative_weights(weights: tf.Tensor) -> tf.Tensor:
    """Return weights divided by their mean.

    Examples
    --------
    >>> relative_weights(tf.constant([1.0, 3.0])).numpy().tolist()
    [0.5, 1.5]
    """
    return weights / tf.maximum(tf.reduce_mean(weights), 1e-12)
