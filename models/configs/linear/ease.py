"""The `model` section of EASE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from towermill.models.configs.linear.base import LinearConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed


class EaseConfig(LinearConfig):
    """EASE, an item-to-item regression whose diagonal is zero (Steck, WWW 2019).

    Parameters
    ----------
    l2
        Weight of the squared norm of the item-to-item matrix.
    dropout
        Solve for the matrix that predicts best when each item of a history is dropped with this
        probability (EDLAE; Steck, NeurIPS 2020). Frequent items are then regularised more.
    user_exponent
        A user of n items weighs n to minus this power in the regression: 0 counts every interaction
        alike, 1 every user. The weights are scaled to a mean of 1 over interactions.
    dim
        Width of the embeddings; at most the number of items and of users. Of items that the user
        has not seen, the scores of the full width are EASE's own.
    """

    kind: str = "ease"
    l2: PositiveFloat = 300.0
    dropout: float = Field(0.0, ge=0, lt=1)
    user_exponent: float = Field(0.0, ge=0, le=1)
    dim: PositiveInt = 512

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.linear.ease import build_ease

        return build_ease(data, self)

    def solve(self, model: Any, data: Processed, *, seed: int) -> None:
        from towermill.models.architectures.linear.ease import solve_ease

        solve_ease(model, data, self)
