"""News encoders that read words by a convolution: those of LSTUR and NAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.encoders.news.tokens import TokenEncoder
from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing

#: Words that a filter sees.
WINDOW = 3


class ConvolutionEncoder(TokenEncoder):
    """Word embeddings, a convolution, additive attention: LSTUR's (An et al., ACL 2019).

    Each filter sees a word and its two neighbours. The embeddings of categories are added, where
    LSTUR puts them side by side: a dot product then compares readers with their sum.

    Parameters
    ----------
    words, **options
        See `TokenEncoder`.
    heads, head_dim
        Their product is the number of filters.
    """

    kind: ClassVar[str] = "cnn"

    def __init__(self, words: Any, *, heads: int, head_dim: int, **options: Any) -> None:
        super().__init__(words, heads=heads, head_dim=head_dim, **options)
        self.convolution = tf.keras.layers.Conv1D(
            heads * head_dim, WINDOW, padding="same", activation="relu"
        )

    def mix(self, tokens: tf.Tensor, real: tf.Tensor, training: Any) -> tf.Tensor:
        """Return the filters' values at the words; what is no word is read as zeros."""
        packed = packing(real)
        words = self.after_words(self.words(packed.pack(tokens)), training=training)
        return packed.pack(self.convolution(packed.pad(words)))


class ViewsEncoder(ConvolutionEncoder):
    """The text and each category as views, joined by attention: NAML's (Wu et al., IJCAI 2019).

    A category's view is a dense layer with ReLU on its embedding. Title and body are one text, that
    of `text.columns`.

    Parameters
    ----------
    attention_dim
        Of the attention over words, and of that over views.
    words, **options
        See `ConvolutionEncoder`.
    """

    kind: ClassVar[str] = "views"

    def __init__(self, words: Any, *, attention_dim: int, **options: Any) -> None:
        super().__init__(words, attention_dim=attention_dim, **options)
        self.of_category = {
            name: tf.keras.layers.Dense(self.dim, activation="relu") for name in self.features
        }
        self.over_views = AdditiveAttention(attention_dim)

    def join(self, text: tf.Tensor, categories: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the mean of the views, weighted by attention, ``(articles, dim)``."""
        views = [text]
        for name, table in self.features.items():
            values = tf.cast(table(categories[name]), text.dtype)
            views.append(tf.cast(self.of_category[name](values), text.dtype))
        stacked = tf.stack(views, axis=1)
        packed = packing(tf.ones(tf.shape(stacked)[:2], tf.bool), cut=False)
        return self.over_views(packed.pack(stacked), packed)
