"""A two-tower whose query is the user's history of items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import merlin.models.tf as mm
import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import ColumnSchema, Schema
from numpy.typing import NDArray

from towermill.columns import EVENT_WEIGHT, FIRST_ID, HISTORY, ITEM_ID
from towermill.models.contracts.retriever import Retriever, shortest_first
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.batches.history import query_schema
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import of_schema, padded
from towermill.models.encoders import HISTORY_ENCODERS
from towermill.models.encoders.histories.base import CausalEncoder, HistoryEncoder
from towermill.models.encoders.towers.inputs import feature_inputs
from towermill.models.layers.embeddings import first_values, lookup
from towermill.models.objectives.catalogue_losses import CATALOGUE_LOSSES
from towermill.models.objectives.catalogue_losses.base import CatalogueItems, CatalogueLoss, Targets
from towermill.models.objectives.feature_table import FeatureTable

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig

#: Largest logits of a step, in bytes, for which `loss: auto` scores the whole catalogue.
MOST_LOGITS: Final = 512 * 2**20
#: Items that an encoder which reads in order takes at most, unless `history_length` says.
ORDERED: Final = 100
#: Largest block of vectors, in bytes, when a table of queries is encoded.
_ENCODED: Final = 256 * 2**20


def build_history_two_tower(
    data: Processed, config: HistoryConfig, *, batch_size: int = 128, seed: int = 0
) -> Retriever:
    """Return an untrained retriever: see `HistoryConfig`.

    Parameters
    ----------
    data
        Gives the schema, the catalogue's features and the users' histories.
    config
        The recipe's `model` section.
    batch_size
        Users a training step, from which `loss: auto` is decided.
    seed
        Seed of initial values and draws.

    Raises
    ------
    SchemaError
        The processed data has no histories.
    """
    length = length_of(config, data)
    counts = data.id_counts
    item = ItemTower(data.item_schema, config, counts, seed)
    table = item.ids if config.shared else _table(HISTORY, data.column(ITEM_ID), config, seed)
    encoder = HISTORY_ENCODERS.get(config.encoder)(table, config, length, seed)
    query = HistoryQueryTower(encoder, query_schema(data, config), config, length, seed)
    catalogue = CatalogueItems(item, to_batch(data.items, data.item_schema), counts[FIRST_ID:])
    loss = CATALOGUE_LOSSES.get(loss_of(config, data, batch_size))
    objective: Any = _OBJECTIVES[encoder.ordered](query, loss(catalogue, config, seed), config)
    model = HistoryTwoTower(query, item, objective)
    retriever = HistoryRetriever(query, item, model, objective)
    retriever.build(data)
    return retriever


def loss_of(config: HistoryConfig, data: Processed, batch_size: int) -> str:
    """Return the name of the loss: that of the recipe, or the choice of ``auto``."""
    if config.loss != "auto":
        return config.loss
    rows = batch_size
    if HISTORY_ENCODERS.get(config.encoder).ordered:
        longest = data.sequences["train"].list.len().clip(upper_bound=length_of(config, data))
        rows = int(batch_size * cast(float, longest.mean() or 1.0))
    fits = 4 * rows * data.items.height <= MOST_LOGITS
    return "softmax" if fits else "sampled_softmax"


def length_of(config: HistoryConfig, data: Processed) -> int:
    """Return the number of items that a query reads at most."""
    usual = ORDERED if HISTORY_ENCODERS.get(config.encoder).ordered else data.history_size
    return min(config.history_length or usual, data.history_size)


def _table(name: str, column: ColumnSchema, config: HistoryConfig, seed: int) -> mm.EmbeddingTable:
    return mm.EmbeddingTable(
        config.embedding_dim,
        column,
        name=f"{name}_table",
        embeddings_initializer=first_values(name, seed),
    )


def _features(schema: Schema, config: HistoryConfig, seed: int) -> mm.Encoder | None:
    """Return what sums the embeddings of features, if there are any."""
    return mm.Encoder(feature_inputs(schema, config, seed, plain_sum=True)) if schema else None


class ItemTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """The sum of an item's embeddings, and its bias as a last dimension.

    The bias begins as the log of the item's training rows, so that an empty query ranks by
    popularity.

    Parameters
    ----------
    schema
        The item's features.
    config
        The `model` section.
    counts
        Training rows by encoded id, ``(items + 3,)``.
    seed
        Seed of initial values.
    """

    def __init__(self, schema: Schema, config: HistoryConfig, counts: Any, seed: int) -> None:
        super().__init__()
        self.schema = schema
        self.ids = _table(ITEM_ID, schema[ITEM_ID], config, seed)
        features = Schema([c for c in schema if c.name != ITEM_ID])
        self.features = _features(features, config, seed)
        start = np.log(np.maximum(counts, 1)).astype(np.float32)[:, None]
        self.bias = mm.EmbeddingTable(
            1,
            schema[ITEM_ID],
            name="item_bias",
            embeddings_initializer=tf.keras.initializers.Constant(start - start.mean()),
        )

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return float32 ``(rows, dim + 1)``."""
        ids = inputs[ITEM_ID]
        vectors = tf.cast(lookup(self.ids, ids), tf.float32)
        if self.features is not None:
            vectors += tf.cast(self.features(of_schema(inputs, self.features.schema)), tf.float32)
        bias = tf.cast(lookup(self.bias, ids), tf.float32)
        return tf.concat([vectors, bias], axis=1)


class HistoryQueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A history's vector, the user's features added, and a last dimension of 1 for item biases."""

    def __init__(
        self,
        encoder: HistoryEncoder,
        schema: Schema,
        config: HistoryConfig,
        length: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder, self.schema, self.length = encoder, schema, length
        features = Schema([c for c in schema if c.name != HISTORY])
        self.features = _features(features, config, seed)

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Encode a batch in the form of `towermill.models.data.interactions.to_batch`."""
        ids = self.ids(inputs)
        mask = tf.cast(ids >= FIRST_ID, tf.float32)
        return self.finish(self.encoder(ids, mask, training=training), inputs)

    def ids(self, inputs: Mapping[str, tf.Tensor], length: int = 0) -> tf.Tensor:
        """Return the history's latest `length` ids, int32 ``(rows, width)``, padded at the end."""
        values, offsets = inputs[f"{HISTORY}__values"], inputs[f"{HISTORY}__offsets"]
        return padded(values, offsets, length or self.length, fixed=False)

    def weights_at(
        self, batch: Mapping[str, tf.Tensor], places: tf.Tensor, length: int = 0
    ) -> tf.Tensor | None:
        """Return the weights of the items at ``(targets, 2)`` places of `ids`; None without any."""
        if f"{EVENT_WEIGHT}__values" not in batch:
            return None
        values, offsets = batch[f"{EVENT_WEIGHT}__values"], batch[f"{EVENT_WEIGHT}__offsets"]
        return tf.gather_nd(padded(values, offsets, length or self.length, fixed=False), places)

    def user_features(self, inputs: Mapping[str, tf.Tensor]) -> FeatureTable:
        """Return the users' features in a batch, of which rows can be repeated."""
        own = Schema([c for c in self.schema if c.name != HISTORY])
        return FeatureTable(of_schema(inputs, own))

    def finish(self, vectors: tf.Tensor, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Add the user's features, and the dimension of the bias, float32 ``(rows, dim + 1)``."""
        if self.features is not None:
            vectors += tf.cast(self.features(of_schema(inputs, self.features.schema)), tf.float32)
        return tf.concat([vectors, tf.ones_like(vectors[:, :1])], axis=1)


@dataclass
class HistoryRetriever(Retriever):
    """A `Retriever` whose queries are lists: fewer rows fit in memory at once."""

    @property
    def rows_at_once(self) -> int:
        """Rows a call when a whole table is encoded."""
        each: int = 4 * self.query_tower.encoder.floats_a_row
        return max(min(super().rows_at_once, _ENCODED // each), 16)

    def embed_queries(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)``; shortest first, as a call pads to its longest."""
        return shortest_first(super().embed_queries, features, HISTORY)


class HistoryTwoTower(tf.keras.Model):  # type: ignore[misc]
    """Both towers and the loss, for training."""

    def __init__(self, query: Any, item: Any, objective: Any) -> None:
        super().__init__()
        self.query_tower, self.item_tower, self.objective = query, item, objective

    def call(self, inputs: Mapping[str, tf.Tensor], training: Any = None) -> tf.Tensor:
        """Return the queries' embeddings."""
        return self.query_tower(inputs, training=training)


class DropAndPredict(tf.Module):  # type: ignore[misc]
    """Drop items of each history at random, and predict them from the rest."""

    def __init__(self, tower: HistoryQueryTower, loss: CatalogueLoss, config: Any) -> None:
        super().__init__()
        self.tower, self.loss = tower, loss
        self.dropout = tf.keras.layers.Dropout(config.history_dropout)
        self.dropout.build([None, None])  # its generator is part of a checkpoint

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        ids = self.tower.ids(batch)
        there = ids >= FIRST_ID
        weights = self.dropout(tf.cast(there, tf.float32), training=True)
        query = self.tower.finish(self.tower.encoder(ids, weights, training=True), batch)
        kept, dropped = tf.where(weights > 0), tf.where(there & (weights == 0))
        positions = tf.cast(ids, tf.int64) - FIRST_ID
        targets = Targets(
            query,
            dropped[:, 0],
            tf.gather_nd(positions, dropped),
            tf.stack([kept[:, 0], tf.gather_nd(positions, kept)], axis=1),
            self.tower.weights_at(batch, dropped),
        )
        return self.loss(targets)


class PredictNext(tf.Module):  # type: ignore[misc]
    """Predict each item of a history from those before it."""

    def __init__(self, tower: HistoryQueryTower, loss: CatalogueLoss, config: Any) -> None:
        super().__init__()
        self.tower, self.loss = tower, loss
        self.encoder = cast(CausalEncoder, tower.encoder)

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        longest = self.tower.length + 1
        ids = self.tower.ids(batch, longest)
        before, after = ids[:, :-1], ids[:, 1:]
        found = self.encoder.positions(before, tf.cast(before >= FIRST_ID, tf.float32), True)
        there = tf.where(after >= FIRST_ID)
        vectors = tf.gather_nd(found, there)
        owners = tf.cast(there[:, 0], tf.int32)
        query = self.tower.finish(vectors, self.tower.user_features(batch).rows(owners))
        items = tf.cast(tf.gather_nd(after, there), tf.int64) - FIRST_ID
        rows = tf.range(tf.shape(items, tf.int64)[0], dtype=tf.int64)
        own = self.tower.weights_at(batch, there + tf.constant([0, 1], tf.int64), longest)
        return self.loss(Targets(query, rows, items, importance=own))


#: By whether the encoder depends on the order.
_OBJECTIVES: Final = {False: DropAndPredict, True: PredictNext}
