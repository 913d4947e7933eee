"""The user encoder of LSTUR: what a reader has read lately, in its order."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf


class RecurrentReader(tf.keras.layers.Layer):  # type: ignore[misc]
    """A gated recurrent unit over the articles read, oldest first (An et al., ACL 2019).

    It is LSTUR's short-term interest; with `reader_ids` the long-term one is added.

    Parameters
    ----------
    heads, head_dim
        Their product is the number of units.
    attention_dim
        Not needed.
    dropout
        Of the articles' vectors.
    """

    kind: ClassVar[str] = "gru"

    def __init__(
        self, *, heads: int, head_dim: int, attention_dim: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = tf.keras.layers.Dropout(dropout)
        # Of a cell: a whole layer brings cuDNN's operators into what is exported.
        self.states = tf.keras.layers.RNN(
            tf.keras.layers.GRUCell(heads * head_dim), return_sequences=True
        )

    def call(self, vectors: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return ``(users, dim)`` for ``(users, history_size, dim)`` and the mask of its first two.

        A user who has read nothing has the vector 0.
        """
        place, width = tf.range(tf.shape(mask)[1])[None, :], tf.shape(mask)[1]
        # Close the gaps of articles that are unknown, or left out by `history_dropout`.
        order = tf.argsort(tf.where(mask, place, place + width), axis=1)
        vectors = tf.gather(vectors, order, batch_dims=1)
        # What follows the last article is read too, and not looked at.
        states = self.states(self.dropout(vectors, training=training), training=training)
        count = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True)
        last = tf.cast(place == count - 1, states.dtype)
        return tf.reduce_sum(states * last[..., None], axis=1)
