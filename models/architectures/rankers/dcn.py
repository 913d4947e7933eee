"""DCN V2, of Merlin Models' `CrossBlock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
from merlin.schema import Schema

from towermill.models.architectures.rankers.parts import dense, logit
from towermill.models.encoders.towers.inputs import feature_inputs

if TYPE_CHECKING:
    from towermill.models.configs.rankers.dcn import DCNConfig


def dcn_layers(schema: Schema, config: DCNConfig, seed: int) -> Any:
    """Return the layers of a DCN V2 (Wang et al., WWW 2021), features to logits ``(rows, 1)``."""
    inputs = feature_inputs(schema, config, seed)
    crosses = mm.CrossBlock(config.cross_layers, low_rank_dim=config.cross_rank)
    if config.stacked:
        body = inputs.connect(crosses, dense(config))
    else:
        # By name: Merlin joins nameless branches in the order of names that Keras numbers, which
        # depends on the layers that the process has made before.
        branches = {"cross": crosses, "deep": dense(config)}
        body = inputs.connect(mm.ParallelBlock(branches, aggregation="concat"))
    return mm.SequentialBlock(body, logit())
