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
    reads_history
        Whether its query is the user's history: of interactions, `process` then writes them.
    reads_weights
        Whether its loss weighs training rows by `features.weights`.
    trains
        Whether it has weights to fit; without, `batches` is never called, and `solve` is.
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
    reads_history: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
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

    @property
    def blended(self) -> tuple[ModelConfig, ...]:
        """The kinds that this one is a blend of; each is trained alone."""
        return ()

    def training_rows(self, data: Any) -> int:
        """Return the number of training rows, from which a batch size of 0 is chosen."""
        rows: int = data.rows("train")
        return rows

    def batches(self, data: Any, *, batch_size: int, seed: int) -> Batches | None:
        """Return what the model is trained on; None is refused if the kind `trains`."""
        return None

    def solve(self, model: Any, data: Any, *, seed: int) -> None:
        """Compute the weights of a model that `create` returned, in closed form.

        Called in the stage `train` for kinds that do not train; a model that is loaded restores
        its weights instead. By default there is nothing to compute.
        """
