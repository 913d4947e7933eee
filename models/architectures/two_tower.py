"""The two-tower retriever, built on Merlin Models from the processed schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import merlin.models.tf as mm
import tensorflow as tf
from merlin.models.tf.core.prediction import Prediction
from merlin.models.tf.outputs.base import DotProduct
from merlin.models.tf.outputs.sampling.base import Candidate

from towermill.columns import EVENT_WEIGHT, ITEM_ID, USER_ID
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.encoders import TOWER_ENCODERS
from towermill.models.layers.embeddings import mean_penalty
from towermill.models.objectives.event_weights import weighted_mean
from towermill.models.objectives.known_pairs import KnownPairs
from towermill.models.objectives.losses import LOSSES
from towermill.models.objectives.negatives import NEGATIVES
from towermill.models.objectives.negatives.base import Drawing

if TYPE_CHECKING:
    from towermill.models.configs.two_tower import TwoTowerConfig

#: The logit of a negative that is the row's positive.
ACCIDENTAL_HIT: Final = -1e9


def build_two_tower(
    data: Processed, config: TwoTowerConfig, *, batch_size: int = 4096, seed: int = 0
) -> Retriever:
    """Return an untrained two-tower retriever (Yi et al., RecSys 2019).

    Parameters
    ----------
    data
        Gives the schema (cardinalities, tags), the catalogue's features and the item counts.
    config
        The recipe's `model` section.
    batch_size
        Rows a training step, for the sampling probabilities of mixed negatives.
    seed
        Seed of the embeddings' initial values and of the draws of negatives.

    Raises
    ------
    SchemaError
        The schema lacks a user id or an item id.
    """
    encoders = [TOWER_ENCODERS.get(n)() for n in (config.query_encoder, config.item_encoder)]
    query = encoders[0].build(data.query_schema, config.tower, config, seed)
    item = encoders[1].build(data.item_schema, config.item_tower or config.tower, config, seed)
    drawing = Drawing(
        item_tower=item,
        items=to_batch(data.items, data.item_schema),
        id_counts=data.id_counts,
        num_negatives=config.num_negatives,
        popularity_power=config.popularity_power,
        batch_size=batch_size,
        seed=seed,
        own=config.own_negatives,
    )
    loss = LOSSES.get(config.loss)
    output = SampledOutput(
        known=KnownPairs(data) if config.own_negatives else None,
        temperature=config.temperature,
        block=config.num_negatives if config.negatives == "in_batch" else None,
        to_call=DotProduct(),
        negative_samplers=[NEGATIVES.get(config.negatives)().sampler(drawing)],
        schema=data.item_schema.select_by_name(ITEM_ID),
        logq_sampling_correction=config.logq and loss.logq,
        default_loss=loss(),
        default_metrics_fn=no_metrics,
    )
    model = mm.TwoTowerModelV2(query, item, outputs=output)
    retriever = Retriever(query, item, model, ContrastiveLoss(model))
    retriever.build(data)
    return retriever


def no_metrics() -> list[Any]:
    """Metrics inside a step would rank the batch's negatives only: none are wanted."""
    return []


@dataclass(frozen=True)
class ContrastiveLoss:
    """The loss of a Merlin model with a contrastive output, L2 of its embeddings included."""

    model: Any

    def __call__(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        inputs = {name: values for name, values in batch.items() if name != EVENT_WEIGHT}
        prediction = self.model(inputs, training=True)
        losses = self.model.model_outputs[0].default_loss.call(
            prediction.targets, prediction.outputs
        )
        loss = weighted_mean(losses, batch)
        return loss + mean_penalty(self.model, tf.shape(prediction.outputs)[0])


class SampledOutput(mm.ContrastiveOutput):  # type: ignore[misc]
    """`ContrastiveOutput` with the temperature where theory has it.

    Stock Merlin divides by the temperature after the logQ correction, and so scales the correction
    too; here the logit is s/T − log Q. It also fails on a batch of one row, or one negative, and
    gives an accidental hit a score that float16 can hold, −655; logits are float32 here.

    Parameters
    ----------
    known
        If given, negatives are drawn per row, and items the user interacted with are ignored.
    block
        If given, negatives are the other rows of a row's block of this many rows of the batch:
        logits grow with the square of a block, not of the batch.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        known: KnownPairs | None = None,
        block: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.temperature, self.known, self.block = temperature, known, block

    def outputs(
        self, query_embedding: tf.Tensor, positive: Candidate, negative: Candidate
    ) -> Prediction:
        """Return logits ``(rows, 1 + negatives)``, the positive's first, and their targets."""
        query = tf.cast(query_embedding, tf.float32) / self.temperature
        positive_embedding = tf.cast(positive.embedding, tf.float32)
        right = tf.reduce_sum(query * positive_embedding, axis=-1, keepdims=True)
        drawn = tf.cast(negative.embedding, tf.float32)
        if self.block is not None:
            wrong = self._in_blocks(query, drawn, negative)
            if self.logq_sampling_correction:
                right -= tf.math.log(_column(positive.sampling_prob))
            return _prediction(right, wrong)
        if self.known is None:
            wrong = tf.matmul(query, drawn, transpose_b=True)
            lists = [1, -1]
            hit = _column(positive.id) == _row(negative.id)
        else:
            lists = [tf.shape(query)[0], -1]
            wrong = tf.einsum("rd,rnd->rn", query, tf.reshape(drawn, [*lists, query.shape[-1]]))
            items = tf.reshape(negative.id, lists)
            hit = self.known(_column(positive.metadata[USER_ID]), items)
        if self.logq_sampling_correction:
            right -= tf.math.log(_column(positive.sampling_prob))
            wrong -= tf.math.log(tf.reshape(negative.sampling_prob, lists))
        return _prediction(right, tf.where(hit, ACCIDENTAL_HIT, wrong))

    def _in_blocks(self, query: tf.Tensor, drawn: tf.Tensor, items: Candidate) -> tf.Tensor:
        """Return the logits of the rows of each row's block, float32 ``(rows, block)``."""
        rows = tf.shape(query)[0]
        size = tf.minimum(rows, self.block)
        missing = (-rows) % size

        def blocks(values: tf.Tensor, fill: float) -> tf.Tensor:
            values = tf.pad(values, [[0, missing], [0, 0]], constant_values=fill)
            return tf.reshape(values, [-1, size, values.shape[1]])

        logits = tf.matmul(blocks(query, 0.0), blocks(drawn, 0.0), transpose_b=True)
        ids = blocks(_column(items.id), -1)
        across = tf.transpose(ids, [0, 2, 1])
        if self.logq_sampling_correction:
            shares = blocks(_column(items.sampling_prob), 1.0)
            logits -= tf.transpose(tf.math.log(shares), [0, 2, 1])
        logits = tf.where((ids == across) | (across < 0), ACCIDENTAL_HIT, logits)
        return tf.reshape(logits, [-1, size])[:rows]


def _prediction(right: tf.Tensor, wrong: tf.Tensor) -> Prediction:
    """Return the logits of positives and negatives side by side, and their targets."""
    targets = tf.concat([tf.ones_like(right), tf.zeros_like(wrong)], axis=1)
    return Prediction(tf.concat([right, wrong], axis=1), targets)


def _column(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1, 1])


def _row(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [1, -1])
