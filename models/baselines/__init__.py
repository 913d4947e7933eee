"""Baselines to compare a model with over the catalogue: one class a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from towermill.registry import Registry

if TYPE_CHECKING:
    from towermill.models.baselines.base import Baseline

#: A name in `evaluate.baselines` to its class.
BASELINES: Registry[Baseline] = Registry(
    "baseline",
    "towermill.models.baselines",
    "towermill.baselines",
    "towermill.models.baselines.base:Baseline",
)
#: Those of a recipe that names none.
DEFAULT: Final = ("popularity", "random", "ease")
