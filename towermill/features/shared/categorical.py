"""Kinds whose values have a vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from towermill.columns import NULL_ID
from towermill.errors import BundleError
from towermill.features.base import FeatureKind
from towermill.features.inputs import ModelInput, RawInput

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature


class Categorical(FeatureKind):
    """One category a row: the column's value, unless a subclass makes another of it.

    A subclass overrides `node`, `value` and `tensor`: the same function of the raw value for
    NVTabular, for Python and for TensorFlow. Its raw values are of the type of its vocabulary
    unless it overrides `raw_inputs`, too.
    """

    reads = "single values: integers, text or Booleans"

    def has_vocabulary(self, feature: Feature) -> bool:
        """Return True."""
        del feature
        return True

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return integers, floats, Booleans and text as they are, categoricals as text."""
        del feature
        import polars as pl

        if is_text(dtype):
            return pl.col(column).cast(pl.String)
        taken = dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean
        return pl.col(column) if taken else None

    def node(self, name: str, feature: Feature) -> Any:
        """Return the column itself."""
        del feature
        import nvtabular as nvt

        return nvt.ColumnSelector([name])

    def raw_inputs(self, name: str, spec: ModelInput) -> dict[str, RawInput]:
        """Return the column, in the type of the vocabulary."""
        return {name: RawInput(str(spec.raw.type), spec.list, spec.raw.missing)}

    def encode(
        self, name: str, spec: ModelInput, values: Mapping[str, Any], look_up: Callable[[Any], int]
    ) -> Any:
        """Return the value's id; that of null if it is missing."""
        value = self.value(name, spec, values)
        return NULL_ID if is_missing(value) else look_up(value)

    def value(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> Any:
        """Return the value to look up in the vocabulary; None if it is missing."""
        del spec
        return checked(name, values.get(name))

    def encode_tensors(
        self, name: str, spec: ModelInput, tensors: Mapping[str, Any], look_up: Callable[[Any], Any]
    ) -> Any:
        """Return the values' ids."""
        import tensorflow as tf

        values, missing = self.tensor(name, spec, tensors)
        return tf.where(missing, NULL_ID, look_up(values))

    def tensor(self, name: str, spec: ModelInput, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the values to look up in the vocabulary, and a mask of missing ones."""
        import tensorflow as tf

        values = tensors[name]
        return values, values == tf.constant(spec.raw.missing, values.dtype)


def is_text(dtype: Any) -> bool:
    """Return whether a Polars type is text, or categories of text."""
    import polars as pl

    return dtype == pl.String or dtype in (pl.Categorical, pl.Enum)


def is_missing(value: Any) -> bool:
    """Return whether a raw value is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def checked(name: str, value: Any) -> Any:
    """Return a raw category; raise `BundleError` if it is no single value."""
    if value is not None and not isinstance(value, str | bool | np.bool_ | Real):
        raise BundleError(f"`features.{name}` should be text or a number. Received: {value!r}")
    return value
