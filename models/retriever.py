"""The Retriever contract: two towers whose embeddings meet in a dot product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.errors import DataError
from towermill.models.data import Processed, to_batch
from towermill.models.tensors import as_tensors, tensor_specs

#: Rows a call when a whole table is encoded.
ENCODE_ROWS = 8192


@dataclass
class Retriever:
    """What evaluation, export and serving know of a retrieval model.

    Attributes
    ----------
    query_tower, item_tower
        Merlin encoders: a batch of features → ``(rows, dim)``.
    model
        The Keras model that trains both.
    """

    query_tower: Any
    item_tower: Any
    model: Any

    def __post_init__(self) -> None:
        self._encode_queries = _compiled(self.query_tower)
        self._encode_items = _compiled(self.item_tower)

    def embed_queries(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded query features."""
        return _embed(self._encode_queries, self.query_tower.schema, features)

    def embed_items(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded item features."""
        return _embed(self._encode_items, self.item_tower.schema, features)

    def build(self, data: Processed) -> None:
        """Create every weight, by encoding one user and one item."""
        for tower, table in (
            (self.query_tower, data.scan("train").head(1).collect()),
            (self.item_tower, data.items.head(1)),
        ):
            tower(as_tensors(to_batch(table, tower.schema)))

    def save(self, folder: Path) -> None:
        """Write the weights of both towers."""
        self._towers().write(str(folder / "weights"))

    def restore(self, folder: Path) -> None:
        """Read the weights that `save` wrote; the towers must have been built.

        Raises
        ------
        DataError
            There are none, or they are of another architecture.
        """
        try:
            self._towers().read(str(folder / "weights")).assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise DataError(
                f"Expected the weights of this model in {folder}; they are missing or of another "
                f"model ({type(error).__name__}). Train again."
            ) from error

    def _towers(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(query_tower=self.query_tower, item_tower=self.item_tower)


def _compiled(tower: Any) -> Any:
    @tf.function(input_signature=[tensor_specs(tower.schema)])  # type: ignore[untyped-decorator]
    def encode(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.cast(tower(batch, training=False), tf.float32)

    return encode


def _embed(encode: Any, schema: Schema, features: pl.DataFrame) -> NDArray[np.float32]:
    blocks = [
        encode(as_tensors(to_batch(block, schema))).numpy()
        for block in features.iter_slices(ENCODE_ROWS)
    ]
    return np.concatenate(blocks)
