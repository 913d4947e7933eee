"""Code that all news retrievers share: a query is a reading history, looked up as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, TOKENS, USER_ID
from towermill.models.contracts.retriever import (
    Retriever,
    Side,
    SlateVectors,
    shortest_first,
)
from towermill.models.data.impressions import AGE, AGE_HOURS, ImpressionData
from towermill.models.data.tensors import padded


class HistoryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The query tower: encoded ids of the articles read → ``(rows, dim)``.

    It holds the vectors of all articles, so that it serves by ids alone. `NewsRetriever.refresh`
    computes them with the item tower; they are not weights, and no checkpoint contains them.

    Parameters
    ----------
    reader
        Layer from vectors ``(rows, history_size, dim)`` and their mask to ``(rows, dim)``.
    schema
        Holds the list ``history``, and ``user_id`` for `long_term`.
    history_size
        Read at most this many articles of a history, the last ones.
    dim
        Width of an article's vector.
    masked
        Leave padding and unknown articles out.
    long_term
        Layer from encoded user ids to vectors ``(rows, dim)`` that are added.
    """

    def __init__(
        self,
        reader: Any,
        schema: Schema,
        history_size: int,
        *,
        dim: int,
        masked: bool = True,
        long_term: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reader, self.schema, self.history_size = reader, schema, history_size
        self.long_term = long_term
        self.dim, self.masked = dim, masked
        self._articles = _Untracked()

    @property
    def articles(self) -> tf.Variable:
        """Vectors by encoded id, float32 ``(items + 3, dim)``."""
        return self._articles.variable

    def hold(self, vectors: NDArray[np.float32]) -> None:
        """Take these vectors for those of the articles."""
        if self._articles.variable is None:
            self._articles.variable = tf.Variable(vectors, trainable=False, name="articles")
        else:
            self._articles.variable.assign(vectors)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that an export must hold: the weights, and the articles' vectors."""
        return [*super().variables, self.articles]

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Encode a batch in the form of `towermill.models.data.interactions.to_batch`."""
        # As wide for one reader as for many: sums over padding differ in their last bits.
        ids = dense_list(inputs, HISTORY, last=self.history_size)
        # One reader more, of one article: a batch of empty histories would leave attention without
        # a position, which ONNX has no segment sums for.
        ids = tf.pad(ids, [[0, 1], [0, 0]], constant_values=FIRST_ID)
        mask = ids >= FIRST_ID if self.masked else tf.ones_like(ids, tf.bool)
        vectors = tf.cast(tf.gather(self.articles, ids), self.compute_dtype)
        readers = self.reader(vectors, mask, training=training)[:-1]
        return readers if self.long_term is None else readers + self.long_term(inputs[USER_ID])


class _Untracked:
    """Keeps a variable out of what Keras and checkpoints find."""

    variable: tf.Variable = None


class NewsRetriever(Retriever):
    """A `Retriever` whose queries are histories."""

    query_tower: HistoryTower
    data: ImpressionData

    def build(self, data: ImpressionData) -> None:  # type: ignore[override]
        """Create every weight, and room for the articles' vectors."""
        self.data = data
        self.query_tower.hold(
            np.zeros((data.items.height + FIRST_ID, self.query_tower.dim), np.float32)
        )
        self._stale = True
        super().build(data)

    @property
    def rows_at_once(self) -> int:
        """Rows a call when a whole table is encoded: attention holds kilobytes a token."""
        return min(super().rows_at_once, 1024)

    def embed_items(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)``; shortest texts first, as a call pads to its longest."""
        if TOKENS not in features.columns:
            return super().embed_items(features)
        return shortest_first(super().embed_items, features, TOKENS)

    def restore(self, folder: Any) -> None:
        """Read the weights that `save` wrote."""
        super().restore(folder)
        self._stale = True

    def refresh(self) -> NDArray[np.float32]:
        """Encode every article by the item tower's present weights, for the query tower to hold.

        Returns
        -------
        float32 ``(items + 3, dim)`` by encoded id, without what an article's age adds. Ids that are
        no article have zeros, or without masks what training reads there: a title of padding.
        """
        items = self.data.items_by_id
        if AGE in items.columns:
            items = items.with_columns(pl.lit(0, pl.Int32).alias(AGE))
        vectors = self.embed_items(items)
        if self.query_tower.masked:
            vectors[:FIRST_ID] = 0.0
        self.query_tower.hold(vectors)
        self._stale = False
        return vectors

    def slate_vectors(self, data: ImpressionData) -> SlateVectors:
        """Return what shown articles are scored by: their vectors, and what their age adds."""
        return SlateVectors(self.refresh(), by_content=True, ages=self.age_vectors())

    def age_vectors(self) -> NDArray[np.float32] | None:
        """Return what each age adds to an article's vector, ``(intervals + 1, dim)``, if at all."""
        if getattr(self.item_tower, "ages", None) is None:
            return None
        added: NDArray[np.float32] = tf.cast(
            self.item_tower.age(tf.range(len(AGE_HOURS) + 2)), tf.float32
        ).numpy()
        return added

    def encode(self, side: Side, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` of one call of a side's tower."""
        if side == "query" and self._stale:
            self.refresh()
        return super().encode(side, features)


def dense_list(inputs: Mapping[str, tf.Tensor], name: str, last: int = 0) -> tf.Tensor:
    """Return a list feature as `padded` gives it."""
    return padded(inputs[f"{name}__values"], inputs[f"{name}__offsets"], last)
