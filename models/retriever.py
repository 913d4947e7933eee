"""The Retriever contract: two towers whose embeddings meet in a dot product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
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
        self._encode_queries = _Encoder(self.query_tower)
        self._encode_items = _Encoder(self.item_tower)

    def embed_queries(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded query features."""
        return self._encode_queries.table(features)

    def embed_items(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Return float32 ``(rows, dim)`` for encoded item features."""
        return self._encode_items.table(features)

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
        except (tf.errors.OpError, AssertionError, LookupError, ValueError) as error:
            raise DataError(
                f"Expected the weights of this model in {folder}; they are missing or of another "
                f"model ({type(error).__name__}). Train again."
            ) from error

    def _towers(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(query_tower=self.query_tower, item_tower=self.item_tower)


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

    def table(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Encode a table's rows, some at a time."""
        slices = features.iter_slices(ENCODE_ROWS) if features.height else [features]
        blocks = [self._encode(as_tensors(to_batch(s, self.tower.schema))) for s in slices]
        return np.concatenate([block.numpy() for block in blocks])
