"""Losses over a click, in column 0, and the items shown with it that were not clicked."""

from __future__ import annotations

from typing import Any

from towermill.registry import Registry

#: `model.loss` of a model of impressions to its class, which is called with logits and with which
#: columns are `present`, both ``(rows, 1 + negatives)``, and returns ``(rows,)``.
SLATE_LOSSES: Registry[Any] = Registry(
    "slate loss", "towermill.models.objectives.slate_losses", "towermill.slate_losses"
)
