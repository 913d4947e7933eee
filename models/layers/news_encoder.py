"""The news encoder of NRMS: an article's tokens to its vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing
from towermill.models.layers.self_attention import SelfAttention


class NewsEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Word embeddings, self-attention, additive attention (Wu et al., EMNLP 2019).

    Parameters
    ----------
    words
        The embedding layer of tokens; token 0 is padding.
    heads, head_dim, attention_dim
        Of `SelfAttention` and `AdditiveAttention`.
    dense
        Widths of layers between the two, each ReLU, batch normalisation, dropout; the last one is
        that of the article's vector.
    dropout
        After the embedding, the attention and each dense layer.
    masked
        Leave padding out; false reads padding as a word, as widely copied code does.
    features
        Name of a category to an embedding layer of the width of the article's vector, which is
        added to it.
    """

    def __init__(
        self,
        words: Any,
        *,
        heads: int,
        head_dim: int,
        attention_dim: int,
        dense: Sequence[int] = (),
        dropout: float = 0.0,
        masked: bool = True,
        features: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.words, self.masked = words, masked
        self.attention = SelfAttention(heads, head_dim)
        self.pooling = AdditiveAttention(attention_dim)
        self.dropout = tf.keras.layers.Dropout(dropout)
        self.after_words = tf.keras.layers.Dropout(dropout)
        self.dense = [
            (
                tf.keras.layers.Dense(width, activation="relu"),
                tf.keras.layers.BatchNormalization(),
                tf.keras.layers.Dropout(dropout),
            )
            for width in dense
        ]
        self.features = dict(features or {})
        self.dim = dense[-1] if dense else heads * head_dim

    def call(
        self,
        tokens: tf.Tensor,
        categories: Mapping[str, tf.Tensor] | None = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Return ``(articles, dim)`` for tokens ``(articles, title_size)``, padded with 0.

        `categories` gives each feature's encoded ids, ``(articles,)``.
        """
        real = tokens > 0 if self.masked else tf.ones_like(tokens, tf.bool)
        packed = packing(real)
        values = self.after_words(self.words(packed.pack(tokens)), training=training)
        values = self.dropout(self.attention(values, packed), training=training)
        # A batch without a word has no statistics: its NaN would stay in the moving ones for good.
        counted = tf.shape(values)[0] > 0 if training else training
        for layer, normalise, drop in self.dense:
            values = drop(normalise(layer(values), training=counted), training=training)
        vectors = self.pooling(values, packed)
        for name, table in self.features.items():
            vectors += tf.cast(table((categories or {})[name]), vectors.dtype)
        return vectors
