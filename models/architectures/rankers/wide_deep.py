"""Wide & Deep: a linear model with crosses of categories, and dense layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import merlin.models.tf as mm
import tensorflow as tf
from merlin.schema import Schema, Tags

from towermill.errors import SchemaError
from towermill.models.architectures.rankers.parts import dense, linear, logit
from towermill.models.encoders.towers.inputs import feature_inputs

if TYPE_CHECKING:
    from towermill.models.configs.rankers.wide_deep import WideDeepConfig

#: Multiplies one id of a cross; a prime, so that few combinations share a bucket.
_PRIME: Final = 1_000_003


def wide_deep_layers(schema: Schema, config: WideDeepConfig, seed: int) -> Any:
    """Return the layers of a Wide & Deep (Cheng et al., 2016), features to logits ``(rows, 1)``.

    Raises
    ------
    SchemaError
        A cross names what is no category, or a list.
    """
    single = [c.name for c in schema.select_by_tag(Tags.CATEGORICAL) if not c.is_list]
    for name in (name for cross in config.crosses for name in cross):
        if name not in single:
            raise SchemaError(
                f"`model.crosses` should name categories that are no lists: {', '.join(single)}. "
                f"Received: {name!r}. Correct the name, or leave the cross out."
            )
    deep = feature_inputs(schema, config, seed).connect(dense(config), logit())
    wide = {"linear": linear(schema, seed)}
    wide |= {f"{a}_x_{b}": Cross(a, b, config.cross_buckets) for a, b in config.crosses}
    return mm.ParallelBlock({**wide, "deep": deep}, aggregation="element-wise-sum")


class Cross(tf.keras.layers.Layer):  # type: ignore[misc]
    """A weight for each combination of two categories, hashed to buckets; 0 at first.

    Parameters
    ----------
    one, other
        Names of the categories.
    buckets
        How many weights there are.
    """

    def __init__(self, one: str, other: str, buckets: int) -> None:
        super().__init__()
        self.one, self.other, self.buckets = one, other, buckets
        self.table = tf.keras.layers.Embedding(buckets, 1, embeddings_initializer="zeros")

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return ``(rows, 1)`` for prepared features."""
        one, other = (tf.cast(inputs[n], tf.int64)[:, 0] for n in (self.one, self.other))
        return self.table((one * _PRIME + other) % self.buckets)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return ``(rows, 1)``."""
        return tf.TensorShape([None, 1])
