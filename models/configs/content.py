"""The `model` section of the content model."""

from __future__ import annotations

from typing import ClassVar, Literal

from towermill.models.configs.base import Events, ModelSection


class ContentConfig(ModelSection):
    """Nothing learned: items by their given vectors, a user by the mean of what was read.

    Of interactions, of what was met in training.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("impressions", "interactions")

    kind: Literal["content"] = "content"
