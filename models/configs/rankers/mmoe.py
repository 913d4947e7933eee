"""The `model` section of MMoE, with or without ESMM's entire space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from towermill.models.configs.rankers.experts import ExpertsConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class MMoEConfig(ExpertsConfig):
    """MMoE (Ma et al., KDD 2018): several targets from shared experts, each with a gate of its own.

    Each expert is the dense layers `mlp`. The losses of the targets are added up.

    Parameters
    ----------
    experts
        How many.

    Examples
    --------
    >>> from towermill.models.configs.rankers.mmoe import MMoEConfig
    >>> MMoEConfig(targets=("click", "conversion"), ranks_by="conversion").target_names
    ('conversion', 'click')
    """

    kind: str = "mmoe"
    experts: PositiveInt = 4

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.mmoe import mmoe_layers

        return mmoe_layers(schema, self, seed)
