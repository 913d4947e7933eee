"""The base class of encoders of a history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf

from towermill.columns import FIRST_ID

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig


class HistoryEncoder(ABC, tf.keras.layers.Layer):  # type: ignore[misc]
    """From the encoded ids of a user's items, oldest first, to the user's vector.

    An encoder of your own extends this class or `CausalEncoder`.

    Parameters
    ----------
    table
        Embeddings of items, by encoded id.
    config
        The `model` section.
    length
        Items of a history at most.
    seed
        Seed of initial values.
    """

    kind: ClassVar[str]
    #: Whether the vector depends on the order of the items.
    ordered: ClassVar[bool] = False

    def __init__(
        self, table: mm.EmbeddingTable, config: HistoryConfig, length: int, seed: int
    ) -> None:
        super().__init__()
        self.table, self.config, self.length, self.seed = table, config, length, seed

    @abstractmethod
    def call(self, ids: tf.Tensor, weights: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, dim)``.

        Parameters
        ----------
        ids
            int32 ``(rows, width)``, padded with 0 at the end; ids of no item count as padding.
        weights
            float32 ``(rows, width)``: 0 for padding and for what training drops, otherwise 1, or
            more where it makes up for what is dropped.
        """

    @property
    def floats_a_row(self) -> int:
        """Numbers that the encoding of one full history holds at a time."""
        return self.length * int(self.table.dim)

    def vectors(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the embeddings of items, float32 ``(rows, width, dim)``."""
        flat = self.table(tf.reshape(ids, [-1]))
        shape = tf.concat([tf.shape(ids), [self.table.dim]], 0)
        found = tf.reshape(tf.cast(flat, tf.float32), shape)
        found.set_shape([None, None, self.table.dim])
        return found


class CausalEncoder(HistoryEncoder):
    """An encoder with a vector at each item, made of it and those before it."""

    ordered: ClassVar[bool] = True

    @abstractmethod
    def positions(self, ids: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, width, dim)``; what is at padding has no meaning.

        Parameters
        ----------
        ids
            int32 ``(rows, width)``, padded at the end.
        mask
            float32 ``(rows, width)``: 1 where there is an item.
        """

    def call(self, ids: tf.Tensor, weights: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return the vector at the last item; zeros for an empty history."""
        found = self.positions(ids, weights, training=training)
        count = tf.reduce_sum(tf.cast(ids >= FIRST_ID, tf.float32), axis=1, keepdims=True)
        place = tf.range(tf.shape(ids)[1])[None, :]
        last = tf.cast(tf.cast(place, tf.float32) == count - 1, tf.float32)
        return tf.reduce_sum(found * last[..., None], axis=1)
