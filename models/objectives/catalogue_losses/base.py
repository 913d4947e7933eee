"""The pairs that a catalogue loss learns from, and the catalogue that it scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from towermill.models.data.batches.from_frame import Batch
from towermill.models.objectives.event_weights import relative_weights
from towermill.models.objectives.feature_table import FeatureTable


class Targets(NamedTuple):
    """Queries, and the items that each should score high.

    Attributes
    ----------
    queries
        float32 ``(queries, dim)``.
    rows, items
        int64 ``(targets,)``: row of the query, and position of the item in the catalogue.
    hidden
        int64 ``(pairs, 2)``: query and item position that are no negatives, as the query was made
        from the item; None without any.
    importance
        float32 ``(targets,)``: weights of the targets' events; None if all are alike.
    """

    queries: tf.Tensor
    rows: tf.Tensor
    items: tf.Tensor
    hidden: tf.Tensor | None = None
    importance: tf.Tensor | None = None

    @property
    def weights(self) -> tf.Tensor:
        """Weight of each target: its event's, over the root of its query's number of targets."""
        count = tf.shape(self.queries)[0]
        counts = tf.math.unsorted_segment_sum(tf.ones_like(self.rows, tf.float32), self.rows, count)
        found = tf.gather(tf.math.rsqrt(tf.maximum(counts, 1.0)), self.rows)
        return found if self.importance is None else found * relative_weights(self.importance)


@dataclass(frozen=True)
class CatalogueItems:
    """The catalogue, as the item tower encodes it.

    Attributes
    ----------
    tower
        Features of items to float32 ``(items, dim)``.
    features
        Of the catalogue in Merlin's form, row i the item of encoded id i + 3.
    counts
        Training rows of each item, ``(items,)``.
    """

    tower: Any
    features: Batch
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)


class CatalogueLoss(ABC, tf.Module):  # type: ignore[misc]
    """A loss over the catalogue: `kind` is its name in a recipe.

    Parameters
    ----------
    items
        The catalogue.
    config
        The `model` section.
    seed
        Seed of draws.
    """

    kind: ClassVar[str]

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__()
        self._items, self._config, self._seed = items, config, seed
        self._table = FeatureTable(items.features)

    @abstractmethod
    def __call__(self, targets: Targets) -> tf.Tensor:
        """Return the loss, a scalar, L2 of queries and items included."""

    def total(self, losses: tf.Tensor, targets: Targets, items: tf.Tensor) -> tf.Tensor:
        """Return the targets' weighted losses per query, and the L2 of queries and items."""
        queries = targets.queries
        mean = tf.reduce_sum(targets.weights * losses) / tf.cast(tf.shape(queries)[0], tf.float32)
        norms = [tf.reduce_mean(tf.reduce_sum(tf.square(x), axis=1)) for x in (queries, items)]
        return mean + self._config.l2 * tf.add_n(norms)

    def all_items(self) -> tf.Tensor:
        """Return the embeddings of the catalogue, float32 ``(items, dim)``."""
        return self._embed(tf.range(len(self._items)))

    def _embed(self, positions: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._items.tower(self._table.rows(positions), training=True), tf.float32)


class Drawn(NamedTuple):
    """Scores of the targets and of items drawn for the whole step.

    Attributes
    ----------
    positions
        int32 ``(negatives,)``: the drawn items' positions in the catalogue.
    items
        Their embeddings, float32 ``(negatives, dim)``.
    right, wrong
        float32 ``(targets,)`` and ``(queries, negatives)``.
    """

    positions: tf.Tensor
    items: tf.Tensor
    right: tf.Tensor
    wrong: tf.Tensor


class SampledCatalogueLoss(CatalogueLoss):
    """A loss against items that are drawn for the whole step."""

    def __init__(self, items: CatalogueItems, config: Any, seed: int) -> None:
        super().__init__(items, config, seed)
        self.draws = tf.Variable(0, trainable=False, dtype=tf.int64, name="draws")

    @abstractmethod
    def positions(self, count: int, step: tf.Tensor) -> tf.Tensor:
        """Return the positions of `count` items drawn with replacement; `step` decides them."""

    def draw(self, targets: Targets) -> Drawn:
        """Draw the step's negatives, and score them and the targets."""
        positions = self.positions(self._config.num_negatives, self.draws.assign_add(1))
        negatives, positives = self._embed(positions), self._embed(tf.cast(targets.items, tf.int32))
        asked = tf.gather(targets.queries, targets.rows)
        right = tf.reduce_sum(asked * positives, axis=1) / self._config.temperature
        wrong = tf.matmul(targets.queries, negatives, transpose_b=True) / self._config.temperature
        return Drawn(positions, negatives, right, wrong)


def hide(logits: tf.Tensor, hidden: tf.Tensor | None, targets: tf.Tensor) -> tf.Tensor:
    """Return the logits with those of hidden pairs at −10⁹.

    A target stays: an item that occurs twice in a history may be kept once and dropped once.
    """
    if hidden is None:
        return logits
    ones = tf.ones(tf.shape(hidden)[:1], tf.float32)
    marks = tf.scatter_nd(hidden, ones, tf.shape(logits, tf.int64))
    marks = tf.tensor_scatter_nd_update(marks, targets, tf.zeros(tf.shape(targets)[:1]))
    return tf.where(marks > 0, -1e9, logits)
