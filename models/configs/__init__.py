"""The `model` and `train` sections of a recipe, without TensorFlow: one module a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from towermill.registry import Registry

if TYPE_CHECKING:
    from towermill.models.configs.base import ModelConfig

#: `model.kind` to its configuration.
MODELS: Registry[ModelConfig] = Registry(
    "model kind",
    "towermill.models.configs",
    "towermill.models",
    "towermill.models.configs.base:ModelConfig",
)
