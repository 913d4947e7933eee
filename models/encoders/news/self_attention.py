"""The news encoder of NRMS: an article's tokens to its vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf

from towermill.models.encoders.news.tokens import TokenEncoder
from towermill.models.layers.packing import Packing, packing
from towermill.models.layers.self_attention import SelfAttention

#: Parts of a batch by length, each padded to its own longest text.
_LENGTHS = 4


class NewsEncoder(TokenEncoder):
    """Word embeddings, self-attention, additive attention (Wu et al., EMNLP 2019).

    Parameters
    ----------
    words, **options
        See `TokenEncoder`.
    heads, head_dim
        See `SelfAttention`.
    """

    kind: ClassVar[str] = "self_attention"

    def __init__(self, words: Any, *, heads: int, head_dim: int, **options: Any) -> None:
        super().__init__(words, heads=heads, head_dim=head_dim, **options)
        self.attention = SelfAttention(heads, head_dim)

    def mix(self, tokens: tf.Tensor, real: tf.Tensor, training: Any) -> tf.Tensor:
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
