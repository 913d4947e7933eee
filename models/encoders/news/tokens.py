"""The base class of encoders of an article's tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from towermill.columns import TOKENS
from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing


class TokenEncoder(ABC, tf.keras.layers.Layer):  # type: ignore[misc]
    """Word embeddings, what mixes them, additive attention; embeddings of categories are added.

    Parameters
    ----------
    words
        The embedding layer of tokens; token 0 is padding.
    heads, head_dim
        Their product is the width of the article's vector.
    attention_dim
        See `AdditiveAttention`.
    dense
        Widths of layers between the mix and the attention, each ReLU, batch normalisation, dropout;
        the last one is that of the article's vector.
    dropout
        After the embedding (one mask for all occurrences of a word in the batch), the mix and each
        dense layer.
    masked
        Leave padding out; false reads padding as a word, as widely copied code does.
    features
        Name of a category to an embedding layer of the width of the article's vector, which is
        added to it.
    """

    #: Columns of the articles that `call` gets beside their categories.
    reads: ClassVar[tuple[str, ...]] = (TOKENS,)

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

    @abstractmethod
    def mix(self, tokens: tf.Tensor, real: tf.Tensor, training: Any) -> tf.Tensor:
        """Return the mixed words of all texts, ``(positions, heads × head_dim)``.

        Parameters
        ----------
        tokens
            int32 ``(articles, length)``, shortest texts first.
        real
            bool, likewise: True at the words; the positions of the result are these.
        training
            Whether to drop words out.
        """

    def call(
        self,
        tokens: tf.Tensor,
        categories: Mapping[str, tf.Tensor] | None = None,
        vectors: tf.Tensor | None = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Return ``(articles, dim)`` for tokens ``(articles, title_size)``, padded with 0.

        `categories` gives each feature's encoded ids, ``(articles,)``; `vectors` are not read.
        """
        real = tokens > 0 if self.masked else tf.ones_like(tokens, tf.bool)
        # Shortest first: a text is padded to the longest of texts of similar length.
        order = tf.argsort(tf.reduce_max(tf.where(real, tf.range(tf.shape(real)[1]) + 1, 0), 1))
        tokens, real = tf.gather(tokens, order), tf.gather(real, order)
        packed = packing(real)
        values = self.dropout(self.mix(tokens, real, training), training=training)
        # A batch without a word has no statistics: its NaN would stay in the moving ones for good.
        counted = tf.shape(values)[0] > 0 if training else training
        for layer, normalise, drop in self.dense:
            values = drop(normalise(layer(values), training=counted), training=training)
        made = tf.gather(self.pooling(values, packed), tf.argsort(order))
        return self.join(made, categories or {})

    def join(self, text: tf.Tensor, categories: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the vectors of articles, ``(articles, dim)``, of those of their texts."""
        return add_categories(text, self.features, categories)


def add_categories(
    vectors: tf.Tensor, tables: Mapping[str, Any], categories: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    """Add the embeddings of each category's encoded ids, ``(articles,)``, to articles' vectors."""
    for name, table in tables.items():
        vectors += tf.cast(table(categories[name]), vectors.dtype)
    return vectors
