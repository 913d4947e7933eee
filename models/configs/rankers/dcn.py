"""The `model` section of DCN V2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from towermill.models.configs.rankers.base import OneTargetConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class DCNConfig(OneTargetConfig):
    """DCN V2 (Wang et al., WWW 2021): cross layers, which multiply features with one another.

    Parameters
    ----------
    cross_layers
        How many; each raises the order of the products by one.
    cross_rank
        Factor each cross layer's square matrix into two of this rank; None keeps it whole.
    stacked
        Put the dense layers after the cross layers; false puts them beside, both on the features.

    Examples
    --------
    >>> from towermill.models.configs.rankers.dcn import DCNConfig
    >>> DCNConfig(cross_layers=3, stacked=False).contract
    'ranker'
    """

    kind: str = "dcn"
    cross_layers: PositiveInt = 2
    cross_rank: PositiveInt | None = None
    stacked: bool = True

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.dcn import dcn_layers

        return dcn_layers(schema, self, seed)
