"""Batches for models that learn from single items, whatever the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towermill.models.training.fit import Batches


def event_batches(data: Any, *, batch_size: int, seed: int) -> Batches:
    """Return batches of each shown item if `data` is of impressions, else of each interaction."""
    if data.events == "impressions":
        from towermill.models.data.batches.entry import EntryBatches

        return EntryBatches(data, batch_size=batch_size, seed=seed)
    from towermill.models.data.batches.interaction import InteractionBatches

    return InteractionBatches(data, batch_size=batch_size, seed=seed)
