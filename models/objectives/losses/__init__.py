"""Losses over logits whose first column is the positive and whose others are negatives.

An accidental hit among the negatives has a logit of −10⁹, and so weighs nothing.
"""

from __future__ import annotations

from typing import Any

from towermill.registry import Registry

#: `model.loss` of a two-tower to its class, a Keras loss. Its attribute ``logq`` says whether the
#: logQ correction applies.
LOSSES: Registry[Any] = Registry("loss", "towermill.models.objectives.losses", "towermill.losses")
