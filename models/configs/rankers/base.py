"""The keys that rankers on all features share. Nothing here imports TensorFlow."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from towermill.models.configs.base import ModelConfig

if TYPE_CHECKING:
    from merlin.schema import Schema

    from towermill.models.contracts.ranker import Ranker
    from towermill.models.data.interactions import Processed
    from towermill.models.training.fit import Batches


class RankerConfig(ModelConfig):
    """A ranker that scores a pair by all its features: of the query, the item and the context.

    Parameters
    ----------
    embedding_dim
        Width of every embedding table.
    mlp
        Widths of the dense layers, with ReLU.
    dropout
        After each dense layer.
    l2
        Weight of the squared norms of the embeddings looked up, divided by the rows of a batch.
    """

    contract: ClassVar[Literal["retriever", "ranker"]] = "ranker"
    reads_weights: ClassVar[bool] = True

    embedding_dim: PositiveInt = 32
    mlp: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    l2: float = Field(0.0, ge=0)

    @property
    def negatives_per_row(self) -> int:
        """Items drawn for each row, where the model predicts no signal."""
        return 0

    @abstractmethod
    def layers(self, schema: Schema, seed: int) -> Any:
        """Return the Keras layer from prepared features to logits ``(rows, targets)``.

        Parameters
        ----------
        schema
            The model's inputs.
        seed
            Seed of the embeddings' initial values.
        """

    def create(self, data: Processed, *, batch_size: int, seed: int) -> Ranker:
        from towermill.models.architectures.rankers.ranker import build_ranker

        return build_ranker(data, self, seed=seed)

    def batches(self, data: Processed, *, batch_size: int, seed: int) -> Batches:
        from towermill.models.data.batches.interaction import InteractionBatches
        from towermill.models.data.targets import check_targets

        check_targets(data, self.target_names)
        return InteractionBatches(data, batch_size=batch_size, seed=seed, signals=self.target_names)


class OneTargetConfig(RankerConfig):
    """A ranker that learns one thing by binary cross-entropy.

    With a `target`, each training row has a label, such as whether what was shown was clicked.
    Without, each row is a positive, and `num_negatives` items are drawn for it.

    Parameters
    ----------
    target
        The signal of the interactions, 0 or 1, that is predicted. None: what interactions occur.
    num_negatives
        Without a target: items drawn uniformly per row at each step, with all features that the
        catalogue gives them; use a small number. Items the user interacted with in training are
        ignored.
    """

    target: str | None = None
    num_negatives: PositiveInt = 4

    @property
    def target_names(self) -> tuple[str, ...]:
        return () if self.target is None else (self.target,)

    @property
    def negatives_per_row(self) -> int:
        return self.num_negatives
