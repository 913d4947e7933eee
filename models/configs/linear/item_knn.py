"""The `model` section of item-based nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from towermill.models.configs.linear.base import LinearConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.data.interactions import Processed


class ItemKnnConfig(LinearConfig):
    """Nearest neighbours of the items (Deshpande and Karypis, TOIS 2004).

    An item's score is the sum of its similarities to the items of the history that are among its
    neighbours.

    Parameters
    ----------
    neighbours
        Number of most similar items kept per item.
    shrink
        Added to the denominator of the cosine: lowers similarities that few users support.
    weighting
        ``none``: the cosine of the items' users. ``bm25``: of these weighted by BM25, which lowers
        users of long histories.
    """

    kind: str = "item_knn"
    neighbours: PositiveInt = 200
    shrink: float = Field(10.0, ge=0)
    weighting: Literal["none", "bm25"] = "bm25"

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.linear.item_knn import build_item_knn

        return build_item_knn(data)

    def solve(self, model: Any, data: Processed, *, seed: int) -> None:
        from towermill.models.architectures.linear.item_knn import solve_item_knn

        solve_item_knn(model, data, self)
