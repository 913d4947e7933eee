"""The `model` section of implicit ALS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveFloat, PositiveInt

from towermill.models.configs.linear.base import LinearConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed


class AlsConfig(LinearConfig):
    """Matrix factorization of weighted interactions (Hu et al., ICDM 2008).

    Alternating least squares fit the factors; a history is folded in by the same least squares.
    Needs the package `implicit`.

    Parameters
    ----------
    factors
        Width of the embeddings.
    l2
        Weight of the squared norms of all factors.
    alpha
        An interaction has the confidence 1 + `alpha`, every other pair 1.
    iterations
        Passes over users and items.
    """

    kind: str = "als"
    factors: PositiveInt = 64
    l2: PositiveFloat = 30.0
    alpha: PositiveFloat = 5.0
    iterations: PositiveInt = 15

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.linear.als import build_als

        return build_als(data, self)

    def solve(self, model: Any, data: Processed, *, seed: int) -> None:
        from towermill.models.architectures.linear.als import solve_als

        solve_als(model, data, self, seed=seed)
