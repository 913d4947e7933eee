"""The `model` section of a blend of retrievers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from towermill.models.configs import MODELS
from towermill.models.configs.base import ModelConfig
from towermill.section import PartSection

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever


class BlendConfig(ModelConfig):
    """Several retrievers as one: the weighted sum of their scores, standardised for each query.

    Each part is trained as if alone; the blend has one query tower and one item tower, of the
    parts' embeddings side by side. It is served like any other retriever.

    Parameters
    ----------
    parts
        `model` sections of retrievers of interactions, two to four.
    weights
        One weight a part, from 0. Left out, they are chosen on the validation split by
        `train.monitor`; without one, the parts have equal weights.
    """

    reads_history: ClassVar[bool] = True

    kind: str = "blend"
    parts: tuple[Annotated[ModelConfig, PartSection(MODELS)], ...] = Field(
        min_length=2, max_length=4
    )
    weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _parts_are_retrievers(self) -> BlendConfig:
        for part in self.parts:
            if part.contract != "retriever" or "interactions" not in part.learns_from:
                raise ValueError(
                    "`parts` should be retrievers of interactions, such as ease, history or "
                    f"two_tower. Received: {part.kind}"
                )
        if self.weights is not None and (
            len(self.weights) != len(self.parts) or not any(self.weights)
        ):
            raise ValueError(
                f"`weights` should be one number a part ({len(self.parts)}), not all 0. Received: "
                f"{list(self.weights)}"
            )
        return self

    @property
    def blended(self) -> tuple[ModelConfig, ...]:
        """The parts."""
        return self.parts

    def create(self, data: Any, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.blend import build_blend

        return build_blend(data, self, batch_size=batch_size, seed=seed)

    def training_rows(self, data: Any) -> int:
        """Return the training rows of the part that has fewest; those solved have none."""
        return min((p.training_rows(data) for p in self.parts if p.trains), default=1)
