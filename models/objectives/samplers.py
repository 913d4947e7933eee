"""Samplers for Merlin's `ContrastiveOutput`: in the batch, over the catalogue, or both.

Every sampler knows the sampling probability of each item, for the logQ correction, and
draws by a counter that is part of the model's state: training that resumes draws what training
that never stopped would have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from merlin.models.tf.outputs.sampling.base import Candidate, CandidateSampler
from numpy.typing import NDArray

from towermill.columns import FIRST_ID
from towermill.errors import TowermillError
from towermill.models.objectives.draws import weighted_whole
from towermill.models.objectives.feature_table import FeatureTable


class _Sampler(CandidateSampler):  # type: ignore[misc]
    """A sampler that is called on each batch and keeps nothing between batches.

    Attributes
    ----------
    probability
        float32, ``(items + 3,)``: with which each encoded id is drawn.
    """

    probability: tf.Tensor

    def with_sampling_probs(self, items: Candidate) -> Candidate:
        return items.with_sampling_prob(tf.gather(self.probability, items.id))

    def add(self, items: Candidate) -> None:
        """Nothing is kept between batches."""

    def sample(self) -> Candidate:
        raise TowermillError("Negatives are drawn for a batch: call the sampler on one.")


class InBatch(_Sampler):
    """The batch's own items (Hidasi et al., ICLR 2016); Q is their share of the training rows.

    Parameters
    ----------
    id_counts
        int64, ``(items + 3,)``: training rows of each encoded id, the unknown ones (null, out of
        vocabulary) included, as they occur in batches too.
    """

    def __init__(self, id_counts: NDArray[np.int64], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.probability = tf.constant(id_counts / max(id_counts.sum(), 1), tf.float32)

    def call(self, positive: Candidate, **_: Any) -> Candidate:
        return positive


class Catalogue(_Sampler):
    """Items drawn from the whole catalogue, with replacement, and encoded by the item tower.

    Parameters
    ----------
    item_tower
        Called on the features of the drawn items.
    items
        Features of the catalogue in Merlin's form, row i the item of encoded id i + 3.
    probability
        float, ``(items,)``: with which an item is drawn.
    num_negatives
        Drawn a batch, or a row.
    seed
        With the counter, decides the draws.
    own
        Draw for each row of the batch: the first row's negatives come first, then the second's.
    """

    def __init__(
        self,
        item_tower: Any,
        items: Mapping[str, NDArray[Any]],
        probability: NDArray[np.float64],
        num_negatives: int,
        seed: int,
        own: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_num_samples=num_negatives, **kwargs)
        self.own = own
        self.item_tower = item_tower
        self.items = FeatureTable(items)
        self.cumulative = tf.constant(np.cumsum(probability) / probability.sum(), tf.float64)
        # Padding, null and out of vocabulary are never drawn.
        shares = np.concatenate([np.zeros(FIRST_ID), probability / probability.sum()])
        self.probability = tf.constant(shares, tf.float32)
        # A positive that is never drawn counts as the rarest item: log 0 would drown the rest.
        self.least = float(shares[shares > 0].min())
        self.seed = seed
        self.draws = tf.Variable(0, trainable=False, dtype=tf.int64, name="draws")

    def call(self, positive: Candidate, training: bool = False, **_: Any) -> Candidate:
        rows = tf.size(positive.id) if self.own else 1
        positions = self._positions(rows * self.max_num_samples)
        features = self.items.rows(positions)
        embedding = self.item_tower(features, training=training)
        ids = tf.cast(positions + FIRST_ID, positive.id.dtype)[:, tf.newaxis]
        return Candidate(id=ids, metadata={}).with_embedding(embedding)

    def _positions(self, count: Any) -> tf.Tensor:
        return weighted_whole(count, self.cumulative, self.seed, self.draws.assign_add(1))

    def with_sampling_probs(self, items: Candidate) -> Candidate:
        drawn = tf.gather(self.probability, items.id)
        return items.with_sampling_prob(tf.maximum(drawn, self.least))


class Mixed(_Sampler):
    """In-batch and catalogue negatives together (Yang et al., WWW 2020).

    Q is the mean of both probabilities, weighted by how many candidates each brings.
    """

    def __init__(self, in_batch: InBatch, catalogue: Catalogue, batch_size: int) -> None:
        super().__init__()
        self.in_batch, self.catalogue = in_batch, catalogue
        drawn = catalogue.max_num_samples / (catalogue.max_num_samples + batch_size)
        self.probability = drawn * catalogue.probability + (1 - drawn) * in_batch.probability

    def call(self, positive: Candidate, **kwargs: Any) -> Candidate:
        drawn = self.catalogue(positive, **kwargs)
        return Candidate(id=tf.concat([positive.id, drawn.id], axis=0), metadata={}).with_embedding(
            tf.concat([positive.embedding, drawn.embedding], axis=0)
        )
