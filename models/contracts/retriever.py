"""The Retriever contract: two towers whose embeddings meet in a dot product."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.models.contracts.weights import read_weights, write_weights
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import ScoreBlock
from towermill.models.data.tensors import as_tensors, tensor_specs
from towermill.models.evaluation.top_k import dot_product_scores

Side = Literal["query", "item"]
#: ``spread(side, slices)`` has the slices of a table encoded elsewhere, by this very model, and
#: gives what `Retriever.encode` would, in order.
Spread = Callable[[Side, Sequence[pl.DataFrame]], Iterable[NDArray[np.float32]]]

#: `Retriever.rows_at_once`, where a model has no reason for fewer.
ENCODE_ROWS = 8192


def nothing_to_learn(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return no loss, for a retriever that is not trained by steps."""
    return tf.constant(0.0)


def shortest_first(
    encode: Callable[[pl.DataFrame], NDArray[np.float32]], rows: pl.DataFrame, column: str
) -> NDArray[np.float32]:
    """Encode rows in the order of the lengths of a list, as a call pads to its longest.

    Returns
    -------
    float32 ``(rows, dim)``, in the order of `rows`.
    """
    order = rows[column].list.len().fill_null(0).arg_sort()
    encoded = encode(rows[order])
    found = np.empty_like(encoded)
    found[order.to_numpy()] = encoded
    return found


@dataclass(frozen=True)
class SlateVectors:
    """The vectors that score shown items.

    Attributes
    ----------
    vectors
        By encoded id, float32 ``(items + 3, dim)``.
    by_content
        Whether their directions say what an item is about, and so how alike two items are.
    ages
        What each age of an item adds to its vector, float32 ``(intervals + 1, dim)``.
    """

    vectors: NDArray[np.float32]
    by_content: bool = False
    ages: NDArray[np.float32] | None = None


@dataclass
class Retriever:
    """The interface of a retrieval model to evaluation, export and serving.

    Attributes
    ----------
    query_tower, item_tower
        Merlin encoders: a batch of features → ``(rows, dim)``.
    model
        The Keras model that trains both.
    loss
        A training batch to the loss of `model`, a scalar.
    spread
        Encodes tables of more than one slice; else they are encoded here.
    """

    query_tower: Any
    item_tower: Any
    model: Any
    loss: Callable[[dict[str, tf.Tensor]], tf.Tensor]
    spread: Spread | None = None
    contract: ClassVar[str] = "retriever"
    targets: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self._encoders: dict[Side, _Encoder] = {
            "query": _Encoder(self.query_tower),
            "item": _Encoder(self.item_tower),
        }

    @property
    def parts(self) -> tuple[Any, ...]:
        """The object that holds the weights."""
        return (self.query_tower, self.item_tower)

    @property
    def query_schema(self) -> Schema:
        """The inputs of the query tower."""
        return self.query_tower.schema

    @property
    def rows_at_once(self) -> int:
        """Rows a call when a whole table is encoded."""
        return ENCODE_ROWS

    def embed_queries(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded query features."""
        return self._embed("query", features)

    def embed_items(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded item features."""
        return self._embed("item", features)

    def scores(self, queries: pl.DataFrame, items: pl.DataFrame) -> ScoreBlock:
        """Return the scores of every item for blocks of the queries."""
        return dot_product_scores(self.embed_queries(queries), self.embed_items(items))

    def slate_vectors(self, data: Any) -> SlateVectors:
        """Return the vectors that score the items shown in impressions."""
        return SlateVectors(self.embed_items(data.items_by_id))

    def encode(self, side: Side, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` of one call of a side's tower."""
        return self._encoders[side].rows(features)

    def _embed(self, side: Side, features: pl.DataFrame) -> NDArray[np.float32]:
        features = features.select(self._encoders[side].tower.schema.column_names)
        slices = list(features.iter_slices(self.rows_at_once)) or [features]
        if self.spread is not None and len(slices) > 1:
            return np.concatenate(list(self.spread(side, slices)))
        return np.concatenate([self.encode(side, rows) for rows in slices])

    def build(self, data: Processed) -> None:
        """Create every weight, by encoding one user and one item."""
        for tower, table in (
            (self.query_tower, data.query_sample(1)),
            (self.item_tower, data.items.head(1)),
        ):
            tower(as_tensors(to_batch(table, tower.schema)))

    def save(self, folder: Path) -> None:
        """Write the weights of both towers."""
        write_weights(folder, query_tower=self.query_tower, item_tower=self.item_tower)

    def restore(self, folder: Path) -> None:
        """Read the weights that `save` wrote; the towers must have been built.

        Raises
        ------
        DataError
            There are none, or they are of another architecture.
        """
        read_weights(folder, query_tower=self.query_tower, item_tower=self.item_tower)


class _Encoder:
    """A tower in one trace for every batch.

    A callable object: TensorFlow counts traces by code object, so that the first traces of several
    towers, were they closures, would pass for one function that is traced again and again.
    """

    def __init__(self, tower: Any) -> None:
        self.tower = tower
        self._encode = tf.function(self, input_signature=[tensor_specs(tower.schema)])

    def __call__(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.cast(self.tower(batch, training=False), tf.float32)

    def rows(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Encode rows, all at once."""
        embedding: NDArray[np.float32] = self._encode(
            as_tensors(to_batch(features, self.tower.schema))
        ).numpy()
        return embedding
