"""Weights on disk, for every kind of model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from towermill.errors import DataError


class Trainable(Protocol):
    """The interface of a model to training.

    Attributes
    ----------
    model
        The Keras model, with all that is to be learned.
    """

    model: Any

    def loss(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the loss of a training batch, a scalar."""

    def save(self, folder: Path) -> None:
        """Write the weights."""

    def restore(self, folder: Path) -> None:
        """Read the weights that `save` wrote."""


def write_weights(folder: Path, **objects: Any) -> None:
    """Write the weights of Keras objects, each under its name."""
    tf.train.Checkpoint(**objects).write(str(folder / "weights"))


def read_weights(folder: Path, **objects: Any) -> None:
    """Read what `write_weights` wrote into objects that have been built.

    Raises
    ------
    DataError
        There are none, or they are of another architecture.
    """
    try:
        tf.train.Checkpoint(**objects).read(str(folder / "weights")).assert_consumed()
    except (tf.errors.OpError, AssertionError, LookupError, ValueError) as error:
        raise DataError(
            f"Expected the weights of this model in {folder}; they are missing or of another "
            f"model ({type(error).__name__}). Train again."
        ) from error
