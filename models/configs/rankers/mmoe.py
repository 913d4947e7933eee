"""The `model` section of MMoE, with or without ESMM's entire space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt

from towermill.models.configs.rankers.base import RankerConfig
from towermill.models.configs.rankers.targets import TargetsConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class MMoEConfig(TargetsConfig, RankerConfig):
    """MMoE (Ma et al., KDD 2018): several targets from shared experts, each with a gate of its own.

    Each expert is the dense layers `mlp`. The losses of the targets are added up.

    Parameters
    ----------
    targets
        Signals of the interactions, 0 or 1, such as ``[click, conversion]``.
    ranks_by
        The target by whose probability items are ranked; left out, the first.
    experts
        How many.
    tower
        Widths of the dense layers of each target, over its mix of the experts.
    entire_space
        ESMM (Ma et al., SIGIR 2018): what follows the first target happens only where that does,
        so its probability is that of the first times one learned beside it, and is trained on all
        rows: pCTCVR = pCTR · pCVR.

    Examples
    --------
    >>> from towermill.models.configs.rankers.mmoe import MMoEConfig
    >>> MMoEConfig(targets=("click", "conversion"), ranks_by="conversion").target_names
    ('conversion', 'click')
    """

    kind: str = "mmoe"
    targets: tuple[str, ...] = Field(min_length=2)
    experts: PositiveInt = 4
    tower: tuple[PositiveInt, ...] = Field((32,), min_length=1)
    entire_space: bool = False

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.mmoe import mmoe_layers

        return mmoe_layers(schema, self, seed)
