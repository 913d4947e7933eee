"""The `model` section of a two-tower retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from towermill.models.configs.base import ModelConfig
from towermill.models.encoders import TOWER_ENCODERS
from towermill.models.objectives.losses import LOSSES
from towermill.models.objectives.negatives import NEGATIVES
from towermill.section import PartName

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed
    from towermill.models.training.fit import Batches


class TwoTowerConfig(ModelConfig):
    """Two towers whose embeddings meet in a dot product (Yi et al., RecSys 2019).

    Parameters
    ----------
    tower
        Widths of the query tower's dense layers; the last has no activation and is the width of
        the embedding. Empty: an embedding is the plain sum of its features' embeddings, of width
        `embedding_dim` (with ids alone this is matrix factorization).
    item_tower
        Widths of the item tower, the same as `tower` if left out. The last must agree.
    embedding_dim
        Width of every embedding table; left out, inferred from each cardinality.
    activation, dropout
        Activation and dropout of the hidden layers.
    input_dropout
        Share of each tower's input set to zero in training.
    normalize
        L2-normalise both embeddings; goes with a `temperature` well below 1.
    temperature
        Logits are divided by this.
    l2
        Weight of the squared norms of the embeddings looked up (those of drawn negatives too),
        divided by the rows of a batch.
    query_encoder, item_encoder
        What encodes the features of each side; ``mlp`` is embeddings and dense layers.
    loss
        ``softmax`` cross-entropy, ``bce`` on positives and sampled negatives, or ``bpr``
        (Rendle et al., UAI 2009).
    negatives
        ``in_batch``, ``uniform`` or ``popularity`` over the catalogue, or ``mixed`` (in-batch and
        uniform; Yang et al., WWW 2020). Negatives are shared by the rows of a batch.
    num_negatives
        Number of negatives drawn per batch. With ``in_batch``: the batch is cut into blocks of this
        many rows, and a row's negatives are the others of its block. All pairs of a large batch
        cost more than the rest of the training.
    own_negatives
        Draw them for each row instead (``uniform`` or ``popularity``): use a small number. Items
        the user interacted with in training are ignored.
    logq
        Subtract the log of each candidate's sampling probability (softmax only; Yi et al. 2019).
    popularity_power
        Popularity is the training count to this power.
    """

    reads_weights: ClassVar[bool] = True

    kind: str = "two_tower"
    tower: tuple[PositiveInt, ...] = (128, 64)
    item_tower: tuple[PositiveInt, ...] | None = None
    embedding_dim: PositiveInt | None = None
    activation: Literal["relu", "gelu", "elu", "selu", "tanh", "linear"] = "relu"
    dropout: float = Field(0.0, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1)
    normalize: bool = False
    temperature: PositiveFloat = 1.0
    l2: float = Field(0.0, ge=0)
    query_encoder: Annotated[str, PartName(TOWER_ENCODERS)] = "mlp"
    item_encoder: Annotated[str, PartName(TOWER_ENCODERS)] = "mlp"
    loss: Annotated[str, PartName(LOSSES)] = "softmax"
    negatives: Annotated[str, PartName(NEGATIVES, light=True)] = "in_batch"
    num_negatives: PositiveInt = 1024
    own_negatives: bool = False
    logq: bool = True
    popularity_power: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _widths_agree(self) -> TwoTowerConfig:
        if not self.tower and self.embedding_dim is None:
            raise ValueError("`tower: []` needs `embedding_dim`, the width of the embedding")
        item = self.tower if self.item_tower is None else self.item_tower
        if bool(item) != bool(self.tower) or (item and item[-1] != self.tower[-1]):
            raise ValueError(
                f"`tower` and `item_tower` should end in the same width. Received: "
                f"{list(self.tower)} and {list(item)}"
            )
        if self.own_negatives and not NEGATIVES.get(self.negatives).per_row:
            raise ValueError(
                "`own_negatives` are drawn from the catalogue: `negatives` should be uniform or "
                f"popularity. Received: {self.negatives}"
            )
        return self

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.two_tower import build_two_tower

        return build_two_tower(data, self, batch_size=batch_size, seed=seed)

    def batches(self, data: Processed, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.interaction import InteractionBatches

        return InteractionBatches(data, batch_size=batch_size, seed=seed)
