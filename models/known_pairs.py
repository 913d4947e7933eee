"""Which user met which item in training, looked up in a graph."""

from __future__ import annotations

import numpy as np
import polars as pl
import tensorflow as tf

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.models.data import Processed


class KnownPairs:
    """Tells whether a user met an item in training: 8 bytes a pair, found by bisection.

    So that a negative drawn at random is never an item that the user chose.

    Parameters
    ----------
    data
        Its training split is held, once a pair.
    """

    def __init__(self, data: Processed) -> None:
        self._items = data.items.height + FIRST_ID
        pair = pl.col(USER_ID).cast(pl.Int64) * self._items + pl.col(ITEM_ID)
        pairs = data.scan("train").select(pair.unique().sort().alias("pair")).collect()["pair"]
        # Behind all others, so that each place that bisection gives is one.
        self._pairs = tf.constant(np.append(pairs.to_numpy(), np.iinfo(np.int64).max))

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return whether they are, for encoded ids `users` and `items` of shapes that broadcast."""
        wanted = tf.cast(users, tf.int64) * self._items + tf.cast(items, tf.int64)
        flat = tf.reshape(wanted, [-1])
        found = tf.gather(self._pairs, tf.searchsorted(self._pairs, flat)) == flat
        return tf.reshape(found, tf.shape(wanted))
