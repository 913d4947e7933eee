"""Sources of a two-tower's negatives: one class per value of `model.negatives`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from towermill.registry import Registry

if TYPE_CHECKING:
    from towermill.models.objectives.negatives.base import Negatives

#: `model.negatives` to its class.
NEGATIVES: Registry[Negatives] = Registry(
    "kind of negatives",
    "towermill.models.objectives.negatives",
    "towermill.negatives",
    "towermill.models.objectives.negatives.base:Negatives",
)
