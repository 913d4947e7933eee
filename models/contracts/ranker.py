"""The Ranker contract: a model that scores pairs of a query and an item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

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

#: Pairs that are scored by one call.
_PAIRS = 1 << 18


@dataclass
class Ranker:
    """The interface of a ranking model to evaluation, export and serving.

    Attributes
    ----------
    model
        Keras: a batch of the features of pairs → logits ``(rows,)``. One with `targets` also takes
        ``every=True``, which gives the logits of all of them, ``(rows, targets)``.
    query_schema, item_schema
        Its inputs on either side: scalars.
    loss
        A training batch to the loss of `model`, a scalar.
    targets
        The signals of the interactions that it predicts: the logit is that of the first.
    """

    model: Any
    query_schema: Schema
    item_schema: Schema
    loss: Callable[[dict[str, tf.Tensor]], tf.Tensor]
    spread: Any = None  # pairs are scored here, whatever a cluster could do
    targets: tuple[str, ...] = ()
    contract: ClassVar[str] = "ranker"

    def __post_init__(self) -> None:
        specs = tensor_specs(self.schema)
        self._score = tf.function(self.model, input_signature=[specs])
        every = partial(self.model, every=True)
        self._every_target = tf.function(every, input_signature=[specs])

    @property
    def parts(self) -> tuple[Any, ...]:
        """The object that holds the weights."""
        return (self.model,)

    @property
    def schema(self) -> Schema:
        """All inputs."""
        return Schema([*self.query_schema, *self.item_schema])

    def score(self, queries: pl.DataFrame, items: pl.DataFrame) -> NDArray[np.float32]:
        """Return the logit of each row of `queries` with the same row of `items`, ``(rows,)``."""
        columns = {
            **to_batch(queries, self.query_schema),
            **to_batch(items, self.item_schema),
        }
        scores: NDArray[np.float32] = tf.cast(self._score(as_tensors(columns)), tf.float32).numpy()
        return scores

    def target_logits(self, rows: pl.DataFrame) -> NDArray[np.float32]:
        """Return the logit of each target for rows of pairs, ``(rows, targets)``."""
        batch = as_tensors(to_batch(rows, self.schema))
        logits: NDArray[np.float32] = self._every_target(batch).numpy()
        return logits

    def scores(self, queries: pl.DataFrame, items: pl.DataFrame) -> ScoreBlock:
        """Return the scores of every item for blocks of the queries."""
        names = self.query_schema.column_names, self.item_schema.column_names
        return partial(self._every, queries.select(names[0]), items.select(names[1]))

    def _every(
        self, queries: pl.DataFrame, items: pl.DataFrame, start: int, stop: int
    ) -> NDArray[np.float32]:
        count = items.height
        found = np.empty((stop - start) * count, np.float32)
        for first in range(0, len(found), _PAIRS):
            pairs = np.arange(first, min(first + _PAIRS, len(found)))
            found[pairs] = self.score(queries[start + pairs // count], items[pairs % count])
        return found.reshape(stop - start, count)

    def build(self, data: Processed) -> None:
        """Create every weight, by scoring one pair."""
        sample = data.query_sample(1)
        self.score(sample, data.items.head(sample.height))

    def save(self, folder: Path) -> None:
        """Write the weights."""
        write_weights(folder, model=self.model)

    def restore(self, folder: Path) -> None:
        """Read the weights that `save` wrote; the model must have been built.

        Raises
        ------
        DataError
            There are none, or they are of another architecture.
        """
        read_weights(folder, model=self.model)
