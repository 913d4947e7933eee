"""Kinds whose values are numbers, standardised or cut into intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from towermill.columns import NULL_ID
from towermill.features.base import FeatureKind
from towermill.features.inputs import ModelInput, RawEncoding, RawInput

if TYPE_CHECKING:
    from towermill.features.config import Feature


class Numeric(FeatureKind):
    """A number a row: a subclass gives it as `number_node`, `number` and `number_tensor`.

    With `boundaries` it ends as the id of its interval.
    """

    whole_numbers = True  # intervals
    text_holds: ClassVar[Literal["value", "number", "time"]] = "number"
    takes = ("boundaries",)

    def check(self, feature: Feature) -> str | None:
        """Also refuse boundaries that are not increasing."""
        edges = feature.boundaries
        if edges is not None and (not edges or list(edges) != sorted(set(edges))):
            return f"should have `boundaries` that rise. Received: {list(edges)}"
        return super().check(feature)

    def has_vocabulary(self, feature: Feature) -> bool:
        """Return whether it has boundaries."""
        return feature.boundaries is not None

    def node(self, name: str, feature: Feature) -> Any:
        """Return the interval, or the standardised number."""
        from nvtabular import ops

        node = self.number_node(name)
        if feature.boundaries is not None:
            from towermill.features.shared.intervals import Intervals

            return node >> Intervals({name: list(feature.boundaries)})
        if feature.log:
            node = node >> ops.LogOp()
        if feature.normalize:
            node = node >> ops.Normalize(out_dtype="float32")
        # After Normalize, so that a missing number becomes the mean.
        return node >> ops.LambdaOp(to_float32) >> ops.FillMissing(0.0)

    def number_node(self, name: str) -> Any:
        """Return the NVTabular node of the number."""
        import nvtabular as nvt

        return nvt.ColumnSelector([name])

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the column, as float64."""
        del spec
        return {name: RawInput("float64", list=False)}

    def encode(
        self, name: str, spec: ModelInput, values: Mapping[str, Any], look_up: Callable[[Any], int]
    ) -> Any:
        """Return the standardised number, or its interval's id."""
        number = self.number(name, spec, values)
        if spec.raw.boundaries is None:
            return standardised(number, spec.raw)
        return NULL_ID if number is None else look_up(int(np.digitize(number, spec.raw.boundaries)))

    def number(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> float | None:
        """Return the number of a row; None if it is missing."""
        raise NotImplementedError

    def encode_tensors(
        self, name: str, spec: ModelInput, tensors: Mapping[str, Any], look_up: Callable[[Any], Any]
    ) -> Any:
        """Return the standardised numbers, or the ids of their intervals."""
        import tensorflow as tf

        number = self.number_tensor(name, spec, tensors)
        missing = tf.math.is_nan(number)
        if spec.raw.boundaries is not None:
            edges = tf.constant(spec.raw.boundaries, tf.float64)
            interval = tf.searchsorted(edges, tf.where(missing, edges[:1], number), side="right")
            return tf.where(missing, NULL_ID, look_up(tf.cast(interval, tf.int64)))
        if spec.raw.log:
            number = tf.cast(tf.math.log(tf.cast(number, tf.float32) + 1.0), tf.float64)
        if spec.raw.mean is not None:
            number -= spec.raw.mean
            number = number / spec.raw.std if deviates(spec.raw) else number
        return tf.where(missing | ~tf.math.is_finite(number), tf.zeros_like(number), number)

    def number_tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> Any:
        """Return the numbers as a float64 tensor, NaN where they are missing."""
        del spec
        return tensors[name]


def standardised(number: float | None, raw: RawEncoding) -> float:
    """Return a number as the model takes it; a missing one becomes the mean."""
    if number is None:
        return 0.0
    if raw.log:
        number = float(np.log(np.float32(number) + np.float32(1)))
    if raw.mean is not None:
        number -= raw.mean
        number = number / raw.std if deviates(raw) else number  # type: ignore[operator]
    return number if math.isfinite(number) else 0.0


def deviates(raw: RawEncoding) -> bool:
    """Return whether the training numbers differ, so that they can be divided by a deviation."""
    return raw.std is not None and raw.std > 0


def to_float32(column: Any) -> Any:
    """Return a column as float32."""
    return column.astype("float32")
