"""What linear models share: their weights are computed, not trained."""

from __future__ import annotations

from typing import ClassVar

from towermill.models.configs.base import ModelConfig


class LinearConfig(ModelConfig):
    """A model that is solved in closed form and reads the history alone.

    Users who are unknown to training are served like any other, from what they clicked.
    """

    reads_history: ClassVar[bool] = True
    trains: ClassVar[bool] = False
