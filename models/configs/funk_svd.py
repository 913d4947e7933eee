"""The `model` section of a FunkSVD. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt, model_validator

from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed
    from towermill.models.training.fit import Batches


class FunkSVDConfig(ModelConfig):
    """Factors and biases of users and items by id (Funk, 2006; Koren et al., Computer 2009).

    Parameters
    ----------
    factors
        Number of factors of a user and of an item, beside their bias.
    l2
        Weight of the squared norm of both rows of a pair, added to the pair's loss.
    num_negatives
        The minimum and maximum number of negatives per positive. Each row draws a number uniformly
        between them, and then as many negatives, uniformly over the catalogue and with replacement;
        items the user interacted with in training are ignored.
    gamma
        Focusing parameter of the focal loss, which down-weights well-predicted pairs; 0 is
        cross-entropy (Lin et al., ICCV 2017).
    balance
        Weight of positives; negatives get 1 − `balance`.
    label_smoothing
        0 asks for chances of 1 and 0, s for 1 - s/2 and s/2.
    """

    online: ClassVar[str | None] = "towermill.models.architectures.funk_svd_online:OnlineFactors"

    kind: str = "funk_svd"
    factors: PositiveInt = 128
    l2: float = Field(0.005, ge=0)
    num_negatives: tuple[PositiveInt, PositiveInt] = (8, 14)
    gamma: float = Field(2.0, ge=0)
    balance: float = Field(0.75, gt=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _least_then_most(self) -> FunkSVDConfig:
        least, most = self.num_negatives
        if least > most:
            raise ValueError(
                f"`num_negatives` should be the least, then the most. Received: {[least, most]}"
            )
        return self

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.funk_svd import build_funk_svd

        return build_funk_svd(data, self, seed=seed)

    def batches(self, data: Processed, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.interaction import InteractionBatches

        return InteractionBatches(data, batch_size=batch_size, seed=seed)
