"""The `model` section of DLRM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PositiveInt

from towermill.models.configs.rankers.base import OneTargetConfig

if TYPE_CHECKING:
    from merlin.schema import Schema


class DLRMConfig(OneTargetConfig):
    """DLRM (Naumov et al., 2019): the dot products of all embeddings, then dense layers.

    Parameters
    ----------
    bottom
        Widths of the dense layers over the numbers; a last one of width `embedding_dim` follows,
        whose output takes part in the dot products. Not used where there are no numbers.

    Examples
    --------
    >>> from towermill.models.configs.rankers.dlrm import DLRMConfig
    >>> DLRMConfig(target="click").target_names
    ('click',)
    """

    kind: str = "dlrm"
    bottom: tuple[PositiveInt, ...] = (64,)

    def layers(self, schema: Schema, seed: int) -> Any:
        from towermill.models.architectures.rankers.dlrm import dlrm_layers

        return dlrm_layers(schema, self, seed)
