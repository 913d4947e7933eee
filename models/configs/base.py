"""What the section of every model has. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import ClassVar, Literal

from towermill.section import Section

#: What a model learns from, and is judged by.
Events = Literal["interactions", "impressions"]


class ModelSection(Section):
    """The `model` section of a recipe: one subclass a `kind`.

    Attributes
    ----------
    learns_from
        Interactions, of which the whole catalogue is ranked; impressions, which are ranked within;
        or either.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("interactions",)
