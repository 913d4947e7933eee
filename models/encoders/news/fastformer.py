"""The news encoder of Fastformer."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.encoders.news.tokens import TokenEncoder
from towermill.models.layers.fast_attention import FastAttention
from towermill.models.layers.packing import packing


class FastformerEncoder(TokenEncoder):
    """Word embeddings, Fastformer's attention, additive attention (Wu et al., 2021).

    Parameters
    ----------
    words, **options
        See `TokenEncoder`.
    heads, head_dim
        See `FastAttention`.
    """

    kind: ClassVar[str] = "fastformer"

    def __init__(self, words: Any, *, heads: int, head_dim: int, **options: Any) -> None:
        super().__init__(words, heads=heads, head_dim=head_dim, **options)
        self.attention = FastAttention(heads, head_dim)

    def mix(self, tokens: tf.Tensor, real: tf.Tensor, training: Any) -> tf.Tensor:
        """Return the attention's values at the words."""
        packed = packing(real)
        words = self.after_words(self.words(packed.pack(tokens)), training=training)
        return self.attention(words, packed)
