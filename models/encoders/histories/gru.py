"""A recurrent encoder of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import merlin.models.tf as mm
import tensorflow as tf

from towermill.models.encoders.histories.base import CausalEncoder

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig


class GRUHistory(CausalEncoder):
    """Gated recurrent units over the items (GRU4Rec; Hidasi et al., ICLR 2016)."""

    kind: ClassVar[str] = "gru"

    def __init__(
        self, table: mm.EmbeddingTable, config: HistoryConfig, length: int, seed: int
    ) -> None:
        super().__init__(table, config, length, seed)
        self.input_dropout = tf.keras.layers.Dropout(config.dropout)
        self.cells = [
            # Of cells: a whole layer brings cuDNN's operators into what is exported.
            tf.keras.layers.RNN(
                tf.keras.layers.GRUCell(
                    config.embedding_dim,
                    kernel_initializer=tf.keras.initializers.GlorotUniform(seed + layer),
                    recurrent_initializer=tf.keras.initializers.Orthogonal(seed=seed + layer),
                ),
                return_sequences=True,
            )
            for layer in range(config.layers)
        ]

    def positions(self, ids: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, width, dim)``."""
        # Padding is at the end: no real position sees it.
        found = self.input_dropout(self.vectors(ids), training=training)
        for cell in self.cells:
            found = cell(found, training=training)
        return found
