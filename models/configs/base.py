"""The base class of `model` sections. Nothing here imports TensorFlow."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from towermill.columns import Events
from towermill.section import Section

if TYPE_CHECKING:
    from towermill.models.contracts.ranker import Ranker
    from towermill.models.contracts.retriever import Retriever
    from towermill.models.training.fit import Batches


class ModelConfig(Section):
    """The `model` section of a recipe, and what builds that model: one subclass a `kind`.

    Attributes
    ----------
    learns_from
        The events that it can be trained on.
    contract
        What `create` returns: a retriever, or a ranker. None if that is not known before.
    trains
        Whether it has weights to fit; without, `batches` is never called.
    online
        ``module:Name`` of a model that learns from single clicks: a class like
        `towermill.models.architectures.funk_svd_online.OnlineFactors`. None if the kind has none.

    Examples
    --------
    >>> from towermill.models.configs import MODELS
    >>> MODELS.get("two_tower")(tower=[32], item_tower=[32]).contract
    'retriever'
    """

    kind: str
    learns_from: ClassVar[tuple[Events, ...]] = ("interactions",)
    contract: ClassVar[Literal["retriever", "ranker"] | None] = "retriever"
    trains: ClassVar[bool] = True
    online: ClassVar[str | None] = None

    @property
    def target_names(self) -> tuple[str, ...]:
        """The signals of the interactions that the model predicts; empty if it predicts none."""
        return ()

    @abstractmethod
    def create(self, data: Any, *, batch_size: int, seed: int) -> Retriever | Ranker:
        """Return the untrained model, every weight created.

        Parameters
        ----------
        data
            The processed data, of events that the kind learns from.
        batch_size
            Rows a training step.
        seed
            Decides first values and draws.

        Raises
        ------
        SchemaError, RecipeError
            The processed schema lacks what the model needs.
        """

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches | None:
        """Return what the model is trained on; None is refused if the kind `trains`."""
        return None
