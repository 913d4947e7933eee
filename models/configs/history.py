"""The `model` section of a two-tower whose query is the user's history."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from towermill.models.configs.base import ModelConfig
from towermill.models.encoders import HISTORY_ENCODERS
from towermill.models.objectives.catalogue_losses import CATALOGUE_LOSSES
from towermill.section import PartName

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed
    from towermill.models.training.fit import Batches

logger = logging.getLogger(__name__)


class HistoryConfig(ModelConfig):
    """A two-tower whose query tower encodes the items that the user interacted with.

    It recommends to users whom training has not seen, from their history. A training row is a user
    with all of their items. With ``mean`` and ``additive_attention``, which ignore the order, some
    items are dropped at random and predicted from the rest (a denoising autoencoder; Liang et al.,
    WWW 2018). With ``gru`` (Hidasi et al., ICLR 2016) and ``self_attention`` (SASRec; Kang &
    McAuley, ICDM 2018) each item is predicted from those before it.

    Parameters
    ----------
    encoder
        What encodes the history: ``mean``, ``additive_attention``, ``gru``, ``self_attention``, or
        one of your own.
    embedding_dim
        Width of every embedding table, and of the embedding.
    history_length
        Read at most this many items of a history, the latest. Left out: 100 with ``gru`` and
        ``self_attention``, otherwise all that `features.history_size` keeps.
    history_dropout
        Share of the history that is dropped in training.
    exponent
        ``mean`` divides the sum of the items by their number to this power.
    layers, heads, dropout
        Of ``gru`` and ``self_attention``: number of layers, attention heads, and dropout after each
        layer. ``additive_attention`` has no layers.
    shared
        Use the item tower's item embeddings for the history; otherwise a history has its own.
    user_features
        Add the embeddings of the user's features to that of the history.
    user_id
        Add an embedding of the user id too. It rarely helps, and never for new users.
    loss
        ``softmax`` over the whole catalogue, ``sampled_softmax`` with the logQ correction, ``gbce``
        (Petrov & Macdonald, RecSys 2023), ``warp`` (Weston et al., IJCAI 2011), or ``auto``:
        ``softmax`` where the logits of a step fit in 512 MiB, otherwise ``sampled_softmax``.
    num_negatives
        Items drawn per step by the sampled losses.
    calibration
        t of ``gbce``: 0 is plain binary cross-entropy, 1 has unbiased probabilities.
    temperature
        Scores are divided by this in the loss.
    l2
        Weight of the squared norms of query and item embeddings, each a mean over rows.
    """

    reads_history: ClassVar[bool] = True
    reads_weights: ClassVar[bool] = True

    kind: str = "history"
    encoder: Annotated[str, PartName(HISTORY_ENCODERS)] = "mean"
    embedding_dim: PositiveInt = 128
    history_length: PositiveInt | None = None
    history_dropout: float = Field(0.7, gt=0, lt=1)
    exponent: float = Field(0.5, ge=0, le=1)
    layers: PositiveInt = 2
    heads: PositiveInt = 2
    dropout: float = Field(0.2, ge=0, lt=1)
    shared: bool = False
    user_features: bool = True
    user_id: bool = False
    loss: Annotated[str, PartName(CATALOGUE_LOSSES)] | Literal["auto"] = "auto"
    num_negatives: PositiveInt = 4096
    calibration: float = Field(0.75, ge=0, le=1)
    l2: float = Field(0.02, ge=0)
    temperature: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> HistoryConfig:
        if self.encoder == "self_attention" and self.embedding_dim % self.heads:
            raise ValueError(
                "`embedding_dim` should be a multiple of `heads` with `encoder: self_attention`. "
                f"Received: {self.embedding_dim} and {self.heads}"
            )
        return self

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.history_two_tower import build_history_two_tower

        return build_history_two_tower(data, self, batch_size=batch_size, seed=seed)

    def training_rows(self, data: Any) -> int:
        """Return the number of users."""
        return int(data.sequences.height)

    def batches(self, data: Processed, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.architectures.history_two_tower import length_of, loss_of
        from towermill.models.data.batches.history import HistoryBatches

        if self.loss == "auto":
            logger.info(
                "loss: %s, chosen by the size of the catalogue", loss_of(self, data, batch_size)
            )
        length = length_of(self, data)
        return HistoryBatches(data, self, length=length, batch_size=batch_size, seed=seed)
