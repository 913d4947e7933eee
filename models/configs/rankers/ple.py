"""The `model` section of PLE, with or without ESMM's entire space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from towermill.models.configs.rankers.experts import ExpertsConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class PLEConfig(ExpertsConfig):
    """PLE (Tang et al., RecSys 2020): experts of each target beside shared ones, in layers.

    A target mixes its own experts and the shared ones, so that targets that disagree do not harm
    one another as much as in MMoE. Each expert is the dense layers `mlp`. The losses of the targets
    are added up.

    Parameters
    ----------
    extraction_layers
        How many layers of experts; each extracts from what the one below has mixed.
    experts, shared_experts
        Of each target in each layer, and shared by all.

    Examples
    --------
    >>> from towermill.models.configs.rankers.ple import PLEConfig
    >>> PLEConfig(targets=("click", "conversion"), extraction_layers=1).experts
    2
    """

    kind: str = "ple"
    extraction_layers: PositiveInt = 2
    experts: PositiveInt = 2
    shared_experts: PositiveInt = 2

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.ple import ple_layers

        return ple_layers(schema, self, seed)
