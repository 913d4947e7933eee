"""What the section of every model has. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class ModelSection(BaseModel):
    """The `model` section of a recipe: one subclass a `kind`.

    Attributes
    ----------
    ranks_impressions
        Whether it learns from impressions and ranks within them; else from interactions, ranking
        the whole catalogue.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ranks_impressions: ClassVar[bool] = False
