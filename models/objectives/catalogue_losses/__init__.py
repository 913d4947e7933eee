"""Losses of queries against the whole catalogue, or against items drawn from it."""

from __future__ import annotations

from typing import Any

from towermill.registry import Registry

#: `model.loss` of a history model to its class.
CATALOGUE_LOSSES: Registry[Any] = Registry(
    "catalogue loss", "towermill.models.objectives.catalogue_losses", "towermill.catalogue_losses"
)
