"""The `model` section of NCF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from towermill.columns import Events
from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from towermill.models.contracts.ranker import Ranker
    from towermill.models.training.fit import Batches


class NCFConfig(ModelConfig):
    """Neural collaborative filtering, its MLP part (He et al., WWW 2017): scores pairs.

    Learns by binary cross-entropy: from impressions whether each item shown was clicked, from
    interactions which items occurred and which were drawn at random.

    Parameters
    ----------
    embedding_dim
        Width of user and item embeddings.
    mlp
        Widths of the dense layers over both embeddings joined; a last one of width 1 follows.
    dropout
        After each dense layer.
    num_negatives
        With interactions: items drawn uniformly per row at each step; use a small number. Items the
        user interacted with in training are ignored.
    l2
        Weight of the squared norms of the two embeddings of a row.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions", "interactions")
    contract: ClassVar[Literal["retriever", "ranker"]] = "ranker"
    reads_weights: ClassVar[bool] = True

    kind: str = "ncf"
    embedding_dim: PositiveInt = 64
    mlp: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    num_negatives: PositiveInt = 4
    l2: float = Field(0.0, ge=0)

    def create(self, data: Any, *, batch_size: int, seed: int) -> Ranker:
        from towermill.models.architectures.ncf import build_ncf

        return build_ncf(data, self, seed=seed)

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.event import event_batches

        return event_batches(data, batch_size=batch_size, seed=seed)
