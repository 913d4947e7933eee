"""News encoders that read a frozen vector of each article, alone or beside its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from towermill.columns import TOKENS, VECTOR
from towermill.models.encoders.news.self_attention import NewsEncoder
from towermill.models.encoders.news.tokens import add_categories


class VectorLayers(tf.keras.layers.Layer):  # type: ignore[misc]
    """Dense layers from given vectors to vectors of an article, ``(articles, widths[-1])``.

    A given vector is taken at length 1; one of zeros, of an article without text, gives zeros.

    Parameters
    ----------
    widths
        Of the layers: all but the last have ReLU, batch normalisation and dropout; the last is
        linear.
    dropout
        After the given vector and each layer but the last.
    """

    def __init__(self, widths: Sequence[int], dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = tf.keras.layers.Dropout(dropout)
        self.hidden = [
            (
                tf.keras.layers.Dense(width, activation="relu"),
                tf.keras.layers.BatchNormalization(),
                tf.keras.layers.Dropout(dropout),
            )
            for width in widths[:-1]
        ]
        self.last = tf.keras.layers.Dense(widths[-1])

    def call(self, vectors: tf.Tensor, training: Any = None) -> tf.Tensor:
        given = tf.math.l2_normalize(tf.cast(vectors, self.compute_dtype), axis=1)
        values = self.first(given, training=training)
        # A batch without an article has no statistics.
        counted = tf.shape(values)[0] > 0 if training else training
        for layer, normalise, drop in self.hidden:
            values = drop(normalise(layer(values), training=counted), training=training)
        present = tf.cast(tf.reduce_any(vectors != 0, axis=1, keepdims=True), values.dtype)
        return self.last(values) * present


class VectorEncoder(tf.keras.layers.Layer):  # type: ignore[misc]
    """Dense layers on a frozen vector: NRMSDocVec of EB-NeRD's benchmark (Kruse et al., 2024).

    What is learned of a vector transfers to articles that training has not seen.

    Parameters
    ----------
    heads, head_dim
        Their product is the width of the article's vector, unless `dense` is given.
    dense
        Widths: see `VectorLayers`.
    dropout
        See `VectorLayers`.
    features
        Name of a category to an embedding layer, which is added to the vector.
    """

    kind: ClassVar[str] = "vectors"
    #: Columns of the articles that `call` gets beside their categories.
    reads: ClassVar[tuple[str, ...]] = (VECTOR,)

    def __init__(
        self,
        *,
        heads: int,
        head_dim: int,
        dense: Sequence[int] = (),
        dropout: float = 0.0,
        features: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for name in ("words", "attention_dim", "masked"):  # of encoders that read tokens
            kwargs.pop(name, None)
        super().__init__(**kwargs)
        self.layers = VectorLayers(dense or (heads * head_dim,), dropout)
        self.features, self.masked = dict(features or {}), True

    def call(
        self,
        tokens: tf.Tensor | None,
        categories: Mapping[str, tf.Tensor] | None = None,
        vectors: tf.Tensor | None = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Return ``(articles, dim)`` for vectors ``(articles, width)``; tokens are not read."""
        made = self.layers(vectors, training=training)
        return add_categories(made, self.features, categories or {})


class TokensAndVectors(NewsEncoder):
    """The sum of NRMS's news encoder and of dense layers on a frozen vector.

    Parameters
    ----------
    dense
        Widths after the self-attention of tokens, and of `VectorLayers`.
    dropout
        Of both.
    **options
        See `NewsEncoder`.
    """

    kind: ClassVar[str] = "tokens_and_vectors"
    reads: ClassVar[tuple[str, ...]] = (TOKENS, VECTOR)

    def __init__(
        self, words: Any, *, dense: Sequence[int] = (), dropout: float = 0.0, **options: Any
    ) -> None:
        super().__init__(words, dense=dense, dropout=dropout, **options)
        self.layers = VectorLayers(dense or (self.dim,), dropout)

    def call(
        self,
        tokens: tf.Tensor,
        categories: Mapping[str, tf.Tensor] | None = None,
        vectors: tf.Tensor | None = None,
        training: Any = None,
    ) -> tf.Tensor:
        """Return ``(articles, dim)`` for tokens and given vectors ``(articles, width)``."""
        made = super().call(tokens, categories, training=training)
        return made + tf.cast(self.layers(vectors, training=training), made.dtype)
