"""The section `export.gates` of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GatesConfig(BaseModel):
    """What keeps a bundle from being published.

    Parameters
    ----------
    min_distinct
        Least share of distinct item embeddings.
    min_rank
        Least effective rank of the item embeddings; of narrow ones, half the dimension will do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    min_distinct: float = Field(0.01, ge=0, le=1)
    min_rank: float = Field(1.5, ge=0)
