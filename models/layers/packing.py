"""Sequences without their padding: all real positions of a batch in one matrix."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Packing(NamedTuple):
    """The positions of packed rows in the padded batch.

    Dense layers then see real positions only: short titles cost what they hold, and padding can
    change nothing, batch statistics included.

    Attributes
    ----------
    mask
        bool ``(sequences, length)``, True at real positions.
    places
        int64 ``(positions, 2)``: sequence and place of each packed row, ascending.
    fixed
        The length is not cut to the longest sequence, and sums are to be taken so that the last
        bits of a sequence's result do not depend on the rest of the batch.
    """

    mask: tf.Tensor
    places: tf.Tensor
    fixed: bool = False

    @property
    def sequences(self) -> tf.Tensor:
        """Number of sequences, a scalar int64 tensor."""
        return tf.shape(self.mask, tf.int64)[0]

    @property
    def owners(self) -> tf.Tensor:
        """The sequence of each packed row, int64 ``(positions,)``, ascending."""
        return self.places[:, 0]

    def pack(self, padded: tf.Tensor) -> tf.Tensor:
        """Return ``(positions, …)`` of ``(sequences, length, …)``."""
        return tf.gather_nd(padded, self.places)

    def pad(self, packed: tf.Tensor) -> tf.Tensor:
        """Return ``(sequences, length, dim)``, zero at padding, of ``(positions, dim)``."""
        shape = tf.concat([tf.shape(self.mask, tf.int64), tf.shape(packed, tf.int64)[1:]], 0)
        padded = tf.scatter_nd(self.places, packed, shape)
        padded.set_shape([None, self.mask.shape[1], packed.shape[1]])
        return padded


def packing(mask: tf.Tensor, cut: bool = True) -> Packing:
    """Return the packing of a mask.

    Parameters
    ----------
    mask
        bool ``(sequences, length)``.
    cut
        Cut padding after the longest sequence, which is faster; otherwise the packing is `fixed`.
    """
    if not cut:
        return Packing(mask, tf.where(mask), fixed=True)
    longest = tf.reduce_max(tf.where(mask, tf.range(tf.shape(mask)[1]) + 1, 0))
    mask = mask[:, : tf.maximum(longest, 1)]
    return Packing(mask, tf.where(mask))
