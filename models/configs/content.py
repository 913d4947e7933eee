"""The `model` section of the content model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from towermill.columns import Events
from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from towermill.models.contracts.retriever import Retriever


class ContentConfig(ModelConfig):
    """Learns nothing: items have their given vectors, a user the mean of those read.

    With interactions, the mean of the user's items in training.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions", "interactions")
    trains: ClassVar[bool] = False

    kind: str = "content"

    def create(self, data: Any, *, batch_size: int, seed: int) -> Retriever:
        from towermill.models.architectures.content import build_content, build_content_of_users

        return build_content(data) if data.events == "impressions" else build_content_of_users(data)
