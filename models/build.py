"""From a recipe's `model` section to an untrained model."""

from __future__ import annotations

from towermill.models.config import ModelConfig
from towermill.models.data import Processed
from towermill.models.retriever import Retriever
from towermill.models.two_tower import build_two_tower

BUILDERS = {"two_tower": build_two_tower}


def build_model(
    data: Processed, config: ModelConfig, *, batch_size: int = 4096, seed: int = 0
) -> Retriever:
    """Return the untrained model of `config.kind`, every weight created."""
    return BUILDERS[config.kind](data, config, batch_size=batch_size, seed=seed)
