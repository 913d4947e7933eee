"""What the section of every model has. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

#: What a model learns from, and is judged by.
Events = Literal["interactions", "impressions"]


class ModelSection(BaseModel):
    """The `model` section of a recipe: one subclass a `kind`.

    Attributes
    ----------
    learns_from
        Interactions, of which the whole catalogue is ranked; impressions, which are ranked within;
        or either.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learns_from: ClassVar[tuple[Events, ...]] = ("interactions",)
