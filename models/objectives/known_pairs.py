"""Look up the user-item pairs of training in a TensorFlow graph."""

from __future__ import annotations

import numpy as np
import polars as pl
import tensorflow as tf

from towermill.columns import FIRST_ID, ITEM_ID, USER_ID
from towermill.models.data.interactions import Processed


class KnownPairs:
    """Look up whether a user interacted with an item in training: 8 bytes a pair, by bisection.

    It keeps random negatives from being items that the user chose. The pairs are read on first use.

    Parameters
    ----------
    data
        The pairs of its training split, and those of the runs that it continues, are held.
    """

    def __init__(self, data: Processed) -> None:
        self._data, self._items = data, data.items.height + FIRST_ID
        self._pairs: tf.Tensor | None = None

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Return whether each (user, item) pair occurs in training; the shapes broadcast."""
        if self._pairs is None:
            with tf.init_scope():  # once, not in each trace
                self._pairs = tf.constant(self._read())
        wanted = tf.cast(users, tf.int64) * self._items + tf.cast(items, tf.int64)
        flat = tf.reshape(wanted, [-1])
        found = tf.gather(self._pairs, tf.searchsorted(self._pairs, flat)) == flat
        return tf.reshape(found, tf.shape(wanted))

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def _read(self) -> np.ndarray:
        """Return the pairs, one number each, ascending, and a last one above all."""
        pair = pl.col(USER_ID).cast(pl.Int64) * self._items + pl.col(ITEM_ID)
        pairs = self._data.met().select(pair.sort().alias("pair"))["pair"]
        return np.append(pairs.to_numpy(), np.iinfo(np.int64).max)
