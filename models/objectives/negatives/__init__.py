"""Where a two-tower takes its negatives from: one class a `model.negatives`."""

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
