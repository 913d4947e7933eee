"""Training batches of impressions: each article shown, and whether it was clicked."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from towermill.columns import HISTORY_ID, ITEM_ID, LABELS, USER_ID
from towermill.errors import DataError
from towermill.models.data.impressions import ImpressionData


class EntryBatches:
    """Batches of one row an article shown: ``user_id``, ``history_id``, ``item_id``, ``labels``.

    Each ``(rows,)``, int32; ``labels`` is 1 where it was clicked.

    Parameters
    ----------
    data
        Its training impressions are held in memory, as indices.
    batch_size, seed
        Rows a batch; decides, with the epoch, the order of rows.

    Raises
    ------
    DataError
        Nothing was shown, or nothing of it clicked, or all.
    """

    def __init__(self, data: ImpressionData, *, batch_size: int, seed: int = 0) -> None:
        slates = data.slates("train")
        self.batch_size, self.seed = batch_size, seed
        clicks = int(slates.clicked.sum())
        if not 0 < clicks < len(slates.clicked):
            raise DataError(
                "Expected training impressions of which something was clicked and something not; "
                f"of {len(slates.clicked)} articles shown, {clicks} were clicked. Look at the "
                "source's clicked articles: are they among those shown?"
            )
        rows = slates.rows
        self._columns: dict[str, NDArray[np.int32]] = {
            USER_ID: slates.users[rows],
            HISTORY_ID: slates.histories[rows],
            ITEM_ID: slates.items,
            LABELS: slates.clicked.astype(np.int32),
        }

    @property
    def rows(self) -> int:
        """Rows an epoch: articles shown."""
        return len(self._columns[LABELS])

    def __len__(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    def first(self) -> dict[str, tf.Tensor]:
        """Return two rows, as an example."""
        return self._batch(np.arange(2))

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Yield the batches of an epoch, the same however often it is begun."""
        order = np.random.default_rng((self.seed, number)).permutation(self.rows)
        for start in range(0, self.rows, self.batch_size):
            yield self._batch(order[start : start + self.batch_size])

    def _batch(self, rows: NDArray[np.int64]) -> dict[str, tf.Tensor]:
        return {name: tf.constant(values[rows]) for name, values in self._columns.items()}
