"""Training batches of interactions: Merlin's dataloader, shuffled by a seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
import tensorflow as tf
from merlin.dataloader.tensorflow import Loader
from merlin.io import Dataset
from merlin.schema import ColumnSchema, Schema

from towermill.columns import EVENT_WEIGHT
from towermill.errors import DataError
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.tensors import as_tensors


class InteractionBatches:
    """Batches of the training split, one row an interaction.

    Parameters
    ----------
    data
        The processed data set.
    batch_size, seed
        Rows a batch; decides, with the epoch, the order of rows.
    signals
        Columns of the split that a batch has beside the model's inputs, as float32: targets. The
        weights of events are added where the data has them.

    Raises
    ------
    DataError
        The training split is empty.
    """

    def __init__(
        self, data: Processed, *, batch_size: int, seed: int = 0, signals: Sequence[str] = ()
    ) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        weights = [EVENT_WEIGHT] if data.has_weights else []
        self.signals = Schema([ColumnSchema(name) for name in (*signals, *weights)])
        self.rows = data.rows("train")
        if not self.rows:
            raise DataError("Expected training rows; the `train` split has none.")

    def __len__(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    def first(self) -> dict[str, tf.Tensor]:
        """Return two rows as the dataloader would, which for any batch splits up a partition."""
        schema = Schema([*self.data.query_schema, *self.data.item_schema, *self.signals])
        rows = self.data.scan("train").head(2).collect()
        return self._typed(as_tensors(to_batch(rows, schema)))

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Yield the batches of an epoch, the same however often it is begun."""
        dataset = self.data.dataset("train")
        dataset.schema = Schema([*dataset.schema, *self.signals])
        with SeededLoader(dataset, self.batch_size, seed=(self.seed, number)) as loader:
            for batch, _ in loader:
                yield self._typed(batch)

    def _typed(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # The dataloader turns some types into others.
        signals = {name: tf.cast(batch[name], tf.float32) for name in self.signals.column_names}
        return {**batch, **signals}


class SeededLoader(Loader):  # type: ignore[misc]
    """One pass over a data set in an order that the seed decides.

    Stock Merlin shuffles by NumPy's global generator (on a GPU by one that cannot be seeded), in a
    thread beside the training; keeps the rows that do not fill a batch out of the shuffle, so that
    the file's last rows are every epoch's last batch; waits for room in its queue by polling each
    microsecond; and fails on a chunk whose lists are all empty.

    Parameters
    ----------
    dataset
        Partitions come in random order, rows in random order within a partition.
    batch_size
        Rows a batch; the last one holds the rest.
    seed
        One or more numbers from 0, as NumPy's ``SeedSequence`` takes them.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: Sequence[int]) -> None:
        super().__init__(dataset, batch_size, shuffle=False)
        self.seed = tuple(seed)
        order = np.random.default_rng((*self.seed, 0)).permutation(dataset.npartitions)
        self.indices = self.array_lib().asarray(order)
        self._buff.put_wait = 0.01

    def _data_iter(self, epochs: int) -> _ShuffledParts:
        return _ShuffledParts(super()._data_iter(epochs), (*self.seed, 1))

    def _convert_df_to_tensors(self, gdf: Any) -> dict[str, Any]:
        tensors: dict[str, Any] = {}
        for column in self.input_schema:
            values = gdf[column.name]
            if not column.is_list:
                tensors[column.name] = self._array(values)
            elif self.device == "cpu":
                tensors[column.name] = _flat(values, column.dtype.to("numpy"))
            else:
                lengths = values.list.len().fillna(0).to_cupy()
                tensors[column.name] = values.list.leaves.to_cupy(), self._offsets(lengths)
        return tensors

    def _array(self, series: Any) -> Any:
        return series.to_numpy() if self.device == "cpu" else series.to_cupy()

    def _offsets(self, lengths: Any) -> Any:
        xp = self.array_lib()
        return xp.concatenate([xp.zeros(1, np.int32), xp.cumsum(lengths).astype(np.int32)])


class _ShuffledParts:
    """Each partition with its rows shuffled (pandas or cuDF)."""

    def __init__(self, parts: Sized, seed: tuple[int, ...]) -> None:
        self.parts, self.seed = parts, seed

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Any]:
        rng = np.random.default_rng(self.seed)
        for part in self.parts:  # type: ignore[attr-defined]
            yield part.iloc[rng.permutation(len(part))]


def _flat(lists: Any, dtype: Any) -> tuple[Any, Any]:
    """Return the values of a pandas column of lists and int32 offsets; a null is an empty list."""
    rows = [() if row is None else row for row in lists.to_numpy()]
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    values = np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False)
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
