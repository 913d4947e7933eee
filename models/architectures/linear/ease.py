"""EASE as a retriever: a sum over the history, and a vector an item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scipy.sparse as sp

from towermill.columns import HISTORY, ITEM_ID
from towermill.models.architectures.linear.ease_weights import (
    Spectrum,
    ease_vectors,
    noise_scale,
    with_user_weights,
)
from towermill.models.architectures.linear.matrix import interaction_matrix
from towermill.models.architectures.linear.towers import ItemTower, LinearRetriever, SumTower
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed

if TYPE_CHECKING:
    from towermill.models.configs.linear.ease import EaseConfig


def build_ease(data: Processed, config: EaseConfig) -> Retriever:
    """Return an EASE of zeros, which `solve_ease` fills.

    Raises
    ------
    SchemaError
        The processed data has no histories or no item id.
    """
    data.column(HISTORY)
    items = data.items.height
    dim = min(config.dim, items, max(data.users.height, 1))
    query = SumTower(data.schema.select_by_name(HISTORY), data.history_size, items, dim)
    item = ItemTower(data.item_schema.select_by_name(ITEM_ID), items, dim)
    return LinearRetriever.of(data, query, item)


def solve_ease(model: Retriever, data: Processed, config: EaseConfig) -> None:
    """Compute the vectors of both towers: see `ease_vectors` and `noise_scale`."""
    dim = model.item_tower.table.table.shape[1]
    matrix = with_user_weights(interaction_matrix(data), config.user_exponent)
    scale = noise_scale(matrix, config.l2, config.dropout)
    spectrum = Spectrum.of((matrix @ sp.diags(scale)).tocsr(), dim)
    query, item = ease_vectors(spectrum, config.l2, dim)
    model.query_tower.table.assign(query * scale[:, None])
    model.item_tower.table.assign(item / scale[:, None])
