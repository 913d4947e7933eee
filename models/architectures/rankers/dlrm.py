"""DLRM, of Merlin Models' `DLRMBlock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import merlin.models.tf as mm
from merlin.schema import Schema, Tags

from towermill.models.architectures.rankers.parts import dense, logit
from towermill.models.encoders.towers.inputs import embedding_tables

if TYPE_CHECKING:
    from towermill.models.configs.rankers.dlrm import DLRMConfig


def dlrm_layers(schema: Schema, config: DLRMConfig, seed: int) -> Any:
    """Return the layers of a DLRM (Naumov et al., 2019), features to logits ``(rows, 1)``."""
    categories = schema.select_by_tag(Tags.CATEGORICAL)
    body = mm.DLRMBlock(
        schema,
        embeddings=embedding_tables(categories, seed, config.embedding_dim, config.l2),
        bottom_block=mm.MLPBlock([*config.bottom, config.embedding_dim], activation="relu"),
        top_block=dense(config),
    )
    return mm.SequentialBlock(body, logit())
