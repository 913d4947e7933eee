"""Training batches of histories: one row a user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import ColumnSchema, Schema
from numpy.typing import NDArray

from towermill.columns import EVENT_WEIGHT, HISTORY, USER_ID
from towermill.errors import DataError
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import as_tensors

if TYPE_CHECKING:
    from towermill.models.configs.history import HistoryConfig


def query_schema(data: Processed, config: HistoryConfig) -> Schema:
    """Return the inputs of a history's query tower: the history, and the user's own features."""
    own = [c for c in data.user_schema if c.name != USER_ID] if config.user_features else []
    ids = [data.column(USER_ID)] if config.user_id else []
    return Schema([*ids, *own, data.column(HISTORY)])


class HistoryBatches:
    """Batches of users, each with the items of training, oldest first, and features.

    Where events have weights, ``event_weight`` has those of the items.

    Parameters
    ----------
    data
        The processed data set; the histories of its training users are held in memory.
    config
        The `model` section.
    length
        Items that a query reads at most.
    batch_size, seed
        Users a batch; decides, with the epoch, their order.

    Raises
    ------
    DataError
        No user has two training items, of which one could be predicted from the other.
    """

    def __init__(
        self,
        data: Processed,
        config: HistoryConfig,
        *,
        length: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.schema = query_schema(data, config)
        # The earliest of `length` + 1 items has nothing before it that could predict it.
        latest = pl.col("train").list.tail(length + 1)
        weights = [pl.col(EVENT_WEIGHT).list.tail(length + 1)] if data.has_weights else []
        self._weights = Schema([ColumnSchema(EVENT_WEIGHT)] if weights else [])
        lists = data.sequences.select(USER_ID, latest.alias(HISTORY), *weights)
        lists = lists.filter(pl.col(HISTORY).list.n_unique() > 1)
        if lists.is_empty():
            raise DataError(
                "Expected users with two or more training items, to predict one from the others; "
                "there are none. Use `model.kind: two_tower`, or another `split`."
            )
        names = [name for name in self.schema.column_names if name != HISTORY]
        users = data.users.select(USER_ID, *(name for name in names if name != USER_ID))
        self._table = lists.join(users, on=USER_ID, how="left", maintain_order="left")

    @property
    def rows(self) -> int:
        """Users."""
        return self._table.height

    def __len__(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    def first(self) -> dict[str, tf.Tensor]:
        """Return two users, as an example."""
        return self._batch(np.arange(min(2, self.rows)))

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Yield the batches of an epoch, the same however often it is begun."""
        order = np.random.default_rng((self.seed, number)).permutation(self.rows)
        for start in range(0, self.rows, self.batch_size):
            yield self._batch(order[start : start + self.batch_size])

    def _batch(self, rows: NDArray[Any]) -> dict[str, tf.Tensor]:
        schema = Schema([*self.schema, *self._weights])
        return as_tensors(to_batch(self._table[rows], schema))
