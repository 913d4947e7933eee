"""The `model` section of EASE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveFloat, PositiveInt

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
    dim
        Width of the embeddings; at most the number of items and of users. Of items that the user
        has not seen, the scores of the full width are EASE's own.
    """

    kind: str = "ease"
    l2: PositiveFloat = 300.0
    dim: PositiveInt = 512

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.linear.ease import build_ease

        return build_ease(data, self)

    def solve(self, model: Any, data: Processed, *, seed: int) -> None:
        from towermill.models.architectures.linear.ease import solve_ease

        solve_ease(model, data, self)
