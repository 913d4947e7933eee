"""Look up the user-item pairs of training in a TensorFlow graph."""

from __future__ import annotations

import numpy as np
import polars as pl
import tensorflow as tf

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.models.data.interactions import Processed


class KnownPairs:
    """Tells whether a user met an item in training: 8 bytes a pair, found by bisection.

    So that a negative drawn at random is never an item that the user chose. The pairs are read when
    they are first asked for.

    Parameters
    ----------
    data
        Its training split, and what a continued run's users met before, is held once a pair.
    """

    def __init__(self, data: Processed) -> None:
        self._data, self._items = data, data.items.height + FIRST_ID
        self._pairs: tf.Tensor | None = None

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return whether they are, for encoded ids `users` and `items` of shapes that broadcast."""
        if self._pairs is None:
            with tf.init_scope():  # once, not in each trace
                self._pairs = tf.constant(self._read())
        wanted = tf.cast(users, tf.int64) * self._items + tf.cast(items, tf.int64)
        flat = tf.reshape(wanted, [-1])
        found = tf.gather(self._pairs, tf.searchsorted(self._pairs, flat)) == flat
        return tf.reshape(found, tf.shape(wanted))

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def _read(self) -> np.ndarray:
        """Return the pairs, a number each, rising; behind them one that is above all."""
        pair = pl.col(USER_ID).cast(pl.Int64) * self._items + pl.col(ITEM_ID)
        pairs = self._data.met().select(pair.sort().alias("pair"))["pair"]
        return np.append(pairs.to_numpy(), np.iinfo(np.int64).max)
