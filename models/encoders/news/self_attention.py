"""The news encoder of NRMS: an article's tokens to its vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from towermill.columns import TOKENS
from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import Packing, packing
from towermill.models.layers.self_attention import SelfAttention

#: Parts of a batch by length, each padded to its own longest text.
_LENGTHS = 4


class NewsEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Word embeddings, self-attention, additive attention (Wu et al., EMNLP 2019).

    Parameters
    ----------
    words
        The embedding layer of tokens; token 0 is padding.
    heads, head_dim, attention_dim
        See `SelfAttention` and `AdditiveAttention`.
    dense
        Widths of layers between the two, each ReLU, batch normalisation, dropout; the last one is
        that of the article's vector.
    dropout
        After the embedding (one mask for all occurrences of a word in the batch), the attention
        and each dense layer.
    masked
        Leave padding out; false reads padding as a word, as widely copied code does.
    features
        Name of a category to an embedding layer of the width of the article's vector, which is
        added to it.
    """

    kind: ClassVar[str] = "self_attention"
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
        values = self.dropout(self._attend(tokens, real, training), training=training)
        # A batch without a word has no statistics: its NaN would stay in the moving ones for good.
        counted = tf.shape(values)[0] > 0 if training else training
        for layer, normalise, drop in self.dense:
            values = drop(normalise(layer(values), training=counted), training=training)
        made = tf.gather(self.pooling(values, packed), tf.argsort(order))
        for name, table in self.features.items():
            made += tf.cast(table((categories or {})[name]), made.dtype)
        return made

    def _attend(self, tokens: tf.Tensor, real: tf.Tensor, training: Any) -> tf.Tensor:
        """Return the packed self-attention of texts in the order of their lengths."""
        count, mixed = tf.shape(tokens)[0], []
        project = self._projection(tokens, training)
        for part in range(_LENGTHS):
            own = slice(count * part // _LENGTHS, count * (part + 1) // _LENGTHS)
            packed = packing(real[own])
            mixed.append(self.attention.mix(project(own, packed), packed))
        return tf.concat(mixed, axis=0)

    def _projection(
        self, tokens: tf.Tensor, training: Any
    ) -> Callable[[slice, Packing], tf.Tensor]:
        """Return what projects the words of some of the texts, for `SelfAttention.mix`."""
        if training and self.after_words.rate:
            # A mask for each position. One for each word would apply to history and candidate
            # alike, and so make the words that they share count for more than in serving.
            def each(own: slice, packed: Packing) -> tf.Tensor:
                words = self.words(packed.pack(tokens[own]))
                dropped = self.after_words(words, training=training)
                return packed.pad(self.attention.projection(dropped))

            return each
        distinct, place = tf.unique(tf.reshape(tokens, [-1]))
        place = tf.reshape(place, tf.shape(tokens))
        # Called for Keras to know it: a checkpoint holds its generator.
        words = self.after_words(self.words(distinct), training=training)
        projected = self.attention.projection(words)

        def once(own: slice, packed: Packing) -> tf.Tensor:
            return tf.gather(projected, place[own, : tf.shape(packed.mask)[1]])

        return once
