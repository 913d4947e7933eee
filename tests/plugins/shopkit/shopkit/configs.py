"""A kind of model: the `model` section of the cross network. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from towermill.models.contracts.ranker import Ranker
    from towermill.models.training.fit import Batches


class CrossConfig(ModelConfig):
    """A ranker by all features of a pair: DCN-V2 (Wang et al., WWW 2021).

    Parameters
    ----------
    embedding_dim
        Width of every embedding table.
    depth
        Number of cross layers.
    """

    contract: ClassVar[Literal["retriever", "ranker"]] = "ranker"

    kind: str = "cross"
    embedding_dim: PositiveInt = 16
    depth: PositiveInt = 2

    def create(self, data: Any, *, batch_size: int, seed: int) -> Ranker:
        """Return the untrained ranker."""
        from shopkit.cross import build_cross

        return build_cross(data, self)

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches:
        """Return the interactions, shuffled."""
        from towermill.models.data.batches.interaction import InteractionBatches

        return InteractionBatches(data, batch_size=batch_size, seed=seed)
