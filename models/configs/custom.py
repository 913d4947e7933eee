"""The `model` section of a model that other code builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from towermill.columns import Events
from towermill.errors import RecipeError
from towermill.models.configs.base import ModelConfig
from towermill.section import PartName

if TYPE_CHECKING:
    from towermill.models.evaluation.protocol import Model
    from towermill.models.training.fit import Batches


class CustomConfig(ModelConfig):
    """Your own Keras or Merlin model, built by a function of yours.

    Parameters
    ----------
    build
        ``module:Name`` of a function ``build(data, *, batch_size, seed, **options)`` that returns a
        `Retriever` or a `Ranker`, built: see docs/extending/models.md. `data` is the processed
        data set, of interactions or of impressions.
    build_batches
        ``module:Name`` of a function of the same arguments that returns what the model is trained
        on (`towermill.models.training.fit.Batches`). Left out: a batch of interactions has each
        row's features; one of impressions each shown item and whether it was clicked.
    options
        Keyword arguments of both.
    """

    learns_from: ClassVar[tuple[Events, ...]] = ("interactions", "impressions")
    contract: ClassVar[Literal["retriever", "ranker"] | None] = None

    kind: str = "custom"
    build: Annotated[str, PartName()]
    build_batches: Annotated[str | None, PartName()] = None
    options: dict[str, Any] = Field(default_factory=dict)

    def create(self, data: Any, *, batch_size: int, seed: int) -> Model:
        from towermill.models.contracts.ranker import Ranker
        from towermill.models.contracts.retriever import Retriever

        made = PartName().place(self.build).load()
        model = made(data, batch_size=batch_size, seed=seed, **self.options)
        if not isinstance(model, Retriever | Ranker):
            raise RecipeError(
                f"`model.build: {self.build}` should return a Retriever or a Ranker of "
                f"towermill.models.contracts. Received: {type(model).__name__}."
            )
        return model

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches:
        if self.build_batches is not None:
            made = PartName().place(self.build_batches).load()
            found: Batches = made(data, batch_size=batch_size, seed=seed, **self.options)
            return found
        from towermill.models.data.batches.event import event_batches

        return event_batches(data, batch_size=batch_size, seed=seed)
