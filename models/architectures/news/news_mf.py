"""NewsMF: matrix factorization of impressions, with the average of the articles read beside the
factors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, HISTORY_ID, ITEM_ID, LABELS, USER_ID
from towermill.models.architectures.content import MeanReader
from towermill.models.architectures.news.history import HistoryTower
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.impressions import ImpressionData
from towermill.models.layers.factors import BiasedFactors

if TYPE_CHECKING:
    from towermill.models.configs.news.news_mf import NewsMFConfig


def build_news_mf(data: ImpressionData, config: NewsMFConfig, *, seed: int = 0) -> Retriever:
    """Return an untrained matrix factorization (Koren et al., 2009) of readers and articles.

    Parameters
    ----------
    data
        Gives the schema, the articles' numbers and the click-through rate.
    config
        The recipe's `model` section.
    seed
        Seed of the initial factors.

    Raises
    ------
    SchemaError, RecipeError
        There are no readers' ids, or `model.features` names a column that is not a number.
    """
    user, item = data.column(USER_ID), data.column(ITEM_ID)
    numbers = Schema([data.number(name) for name in config.features])
    reading = None
    if config.features:
        schema = Schema([data.list_column(HISTORY)])
        reading = HistoryTower(MeanReader(), schema, data.history_size, dim=len(numbers))
        reading.hold(data.numbers(config.features))
    query_tower = ReaderTower(
        BiasedFactors(user, config.dim, "query", seed),
        reading,
        Schema([user, *(reading.schema if reading else [])]),
        math.log(data.click_rate / (1 - data.click_rate)),
    )
    item_tower = ArticleTower(
        BiasedFactors(item, config.dim, "item", seed), numbers, Schema([item, *numbers])
    )
    model = NewsMF(data, query_tower, item_tower, config)
    retriever = Retriever(query_tower, item_tower, model, model.loss)
    retriever.build(data)
    return retriever


class ReaderTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The query tower: factors of a reader and the mean of the articles read → ``(rows, dim)``.

    Parameters
    ----------
    factors
        Factors of ``user_id``.
    reading
        Tower of ``history``, without weights; None without features.
    schema
        The inputs' schema.
    offset
        Where the bias of all begins: the log-odds of a click.
    """

    def __init__(
        self,
        factors: BiasedFactors,
        reading: HistoryTower | None,
        schema: Schema,
        offset: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factors, self.reading, self.schema = factors, reading, schema
        self.offset = self.add_weight(
            "offset", (), initializer=tf.keras.initializers.Constant(offset)
        )

    @property
    def variables(self) -> list[tf.Variable]:
        """All that an export must hold: the weights, and the articles' numbers."""
        return [*super().variables, *([self.reading.articles] if self.reading else [])]

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Encode a batch in the form of `towermill.models.data.interactions.to_batch`."""
        return self.join(inputs[USER_ID], self.reading(inputs) if self.reading else None)

    def join(self, users: tf.Tensor, read: tf.Tensor | None) -> tf.Tensor:
        """Return the embedding of readers whose articles' numbers have the means `read`."""
        factors = self.factors(users)
        own, bias = factors[:, :-2], factors[:, -2:-1] + tf.cast(self.offset, factors.dtype)
        parts = [own, bias, factors[:, -1:]]
        return tf.concat([*parts, *([] if read is None else [tf.cast(read, own.dtype)])], axis=1)


class ArticleTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The item tower: factors of an article and its numbers, weighed → ``(rows, dim)``.

    Parameters
    ----------
    factors
        Factors of ``item_id``.
    numbers, schema
        Schemas of the numbers, and of all inputs.
    """

    def __init__(
        self, factors: BiasedFactors, numbers: Schema, schema: Schema, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.factors, self.names, self.schema = factors, numbers.column_names, schema
        #: Weight of each number of the shown article with each mean of the history.
        self.affinity = tf.keras.layers.Dense(
            len(numbers), use_bias=False, kernel_initializer=tf.keras.initializers.Identity(0.1)
        )

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Encode a batch in the form of `towermill.models.data.interactions.to_batch`."""
        stacked = [tf.reshape(inputs[name], [-1]) for name in self.names]
        return self.join(inputs[ITEM_ID], tf.stack(stacked, axis=1) if stacked else None)

    def join(self, items: tf.Tensor, numbers: tf.Tensor | None) -> tf.Tensor:
        """Return the embedding of articles with these numbers."""
        factors = self.factors(items)
        return factors if numbers is None else tf.concat([factors, self.affinity(numbers)], axis=1)


class NewsMF(tf.keras.layers.Layer):  # type: ignore[misc]
    """Train both towers on the batches of `EntryBatches`."""

    def __init__(
        self,
        data: ImpressionData,
        query_tower: ReaderTower,
        item_tower: ArticleTower,
        config: NewsMFConfig,
    ) -> None:
        super().__init__()
        self.query_tower, self.item_tower, self.l2 = query_tower, item_tower, config.l2
        self._numbers = self._read = None
        if config.features:
            numbers = data.numbers(config.features)
            self._numbers = tf.constant(numbers)
            self._read = tf.constant(_means(numbers, data.histories))

    def call(self, batch: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return logits ``(rows,)``, float32."""
        users, items = batch[USER_ID], batch[ITEM_ID]
        read = numbers = None
        if self._numbers is not None:
            read = tf.gather(self._read, batch[HISTORY_ID])
            numbers = tf.gather(self._numbers, items)
        both = self.query_tower.join(users, read) * self.item_tower.join(items, numbers)
        return tf.reduce_sum(tf.cast(both, tf.float32), axis=1)

    def loss(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the mean binary cross-entropy of a training batch, and its L2."""
        labels = tf.cast(batch[LABELS], tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, self(batch, training=True))
        norms = self.query_tower.factors.squared_norm(batch[USER_ID])
        norms += self.item_tower.factors.squared_norm(batch[ITEM_ID])
        return tf.reduce_mean(losses + self.l2 * norms)


def _means(numbers: NDArray[np.float32], histories: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the mean of what each history's known articles have, zeros of none."""
    known = histories >= FIRST_ID
    totals = (numbers[histories] * known[..., None]).sum(axis=1)
    means: NDArray[np.float32] = totals / np.maximum(known.sum(axis=1), 1)[:, None]
    return means.astype(np.float32)
