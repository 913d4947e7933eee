"""A causal transformer over a history: SASRec."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf

from towermill.models.encoders.histories.base import CausalEncoder

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig


class SelfAttentiveHistory(CausalEncoder):
    """Blocks of causal self-attention and a pointwise network (Kang & McAuley, ICDM 2018).

    Each block normalises its input (pre-norm). Positions are learned, counted from the first item
    that is read.
    """

    kind: ClassVar[str] = "self_attention"

    def __init__(
        self, table: mm.EmbeddingTable, config: HistoryConfig, length: int, seed: int
    ) -> None:
        super().__init__(table, config, length, seed)
        self.places = tf.keras.layers.Embedding(
            length, config.embedding_dim, embeddings_initializer=_normal(seed)
        )
        self.dropout = tf.keras.layers.Dropout(config.dropout)
        self.blocks = [Block(config, seed + 7 * layer) for layer in range(config.layers)]
        self.norm = tf.keras.layers.LayerNormalization(epsilon=1e-6)

    @property
    def floats_a_row(self) -> int:
        """Numbers that the encoding of one full history holds at a time."""
        return super().floats_a_row * 4 + 2 * self.config.heads * self.length**2

    def positions(self, ids: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, width, dim)``."""
        found = self.vectors(ids) * math.sqrt(self.config.embedding_dim)
        width = tf.shape(ids)[1]
        found = self.dropout(found + self.places(tf.range(width))[None], training=training)
        # Padding is at the end: with a causal mask no real position sees it.
        place = tf.range(width)
        hidden = tf.where(place[None, :] > place[:, None], -1e9, 0.0)[None, None]
        for block in self.blocks:
            found = block(found, hidden, training=training)
        return self.norm(found)


class Block(tf.keras.layers.Layer):  # type: ignore[misc]
    """One block: attention, then a pointwise network, each added to its input."""

    def __init__(self, config: HistoryConfig, seed: int) -> None:
        super().__init__()
        dim, self.heads = config.embedding_dim, config.heads
        initial = [tf.keras.initializers.GlorotUniform(seed + place) for place in range(4)]
        self.norms = [tf.keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.project = tf.keras.layers.Dense(3 * dim, kernel_initializer=initial[0])
        self.join = tf.keras.layers.Dense(dim, kernel_initializer=initial[1])
        self.inner = tf.keras.layers.Dense(
            4 * dim, activation="relu", kernel_initializer=initial[2]
        )
        self.outer = tf.keras.layers.Dense(dim, kernel_initializer=initial[3])
        self.dropouts = [tf.keras.layers.Dropout(config.dropout) for _ in range(3)]

    def call(self, values: tf.Tensor, hidden: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, width, dim)``."""
        mixed = self._attend(self.norms[0](values), hidden, training)
        values += self.dropouts[0](mixed, training=training)
        deep = self.outer(self.dropouts[1](self.inner(self.norms[1](values)), training=training))
        return values + self.dropouts[2](deep, training=training)

    def _attend(self, values: tf.Tensor, hidden: tf.Tensor, training: Any) -> tf.Tensor:
        shape = tf.shape(values)
        dim = values.shape[-1]
        parts = tf.reshape(
            self.project(values), [shape[0], shape[1], 3, self.heads, dim // self.heads]
        )
        query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]))
        logits = tf.matmul(query, key, transpose_b=True) / math.sqrt(dim // self.heads)
        mixed = tf.matmul(tf.nn.softmax(logits + hidden), value)
        joined = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [shape[0], shape[1], dim])
        return self.join(joined)


def _normal(seed: int) -> Any:
    return tf.keras.initializers.RandomNormal(stddev=0.02, seed=seed)
