"""The kind ``list``: several categories a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from towermill.columns import OOV_ID
from towermill.features.inputs import ModelInput
from towermill.features.shared.categorical import Categorical, checked, is_missing, is_text

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature


class CategoryList(Categorical):
    """The values of a list column, or of text cut at a separator, by their ids."""

    kind: ClassVar[str] = "list"
    reads = "a list column, or text to cut at its separator"
    reads_text = True
    shares_vocabulary = True
    takes = ("max_length",)

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return a list as it is; cut text, an empty one into an empty list."""
        import polars as pl

        if isinstance(dtype, pl.List) and not dtype.inner.is_nested():
            return pl.col(column)
        if not is_text(dtype):
            return None
        text = pl.col(column).cast(pl.String)
        empty = pl.lit([], pl.List(pl.String))
        cut = pl.when(text == "").then(empty).otherwise(text.str.split(feature.separator))
        return cut.alias(column)

    def encode(
        self, name: str, spec: ModelInput, values: Mapping[str, Any], look_up: Callable[[Any], int]
    ) -> Any:
        """Return the ids of the first values; none of a missing list."""
        given = [checked(name, value) for value in values.get(name) or ()]
        ids = [OOV_ID if is_missing(value) else look_up(value) for value in given]
        return ids[: spec.raw.max_length] if spec.raw.max_length else ids

    def encode_tensors(
        self, name: str, spec: ModelInput, tensors: Mapping[str, Any], look_up: Callable[[Any], Any]
    ) -> Any:
        """Return the ids of the first values, and offsets."""
        values, offsets = look_up(tensors[f"{name}__values"]), tensors[f"{name}__offsets"]
        return _first(values, offsets, spec.raw.max_length)


def _first(values: Any, offsets: Any, length: int | None) -> tuple[Any, Any]:
    """Return lists cut to their first `length` values."""
    import tensorflow as tf

    if not length:
        return values, offsets
    lengths = offsets[1:] - offsets[:-1]
    owners = tf.repeat(offsets[:-1], lengths)
    kept = tf.range(tf.size(values)) - owners < length
    ends = tf.cumsum(tf.minimum(lengths, length))
    return tf.boolean_mask(values, kept), tf.concat([[0], ends], 0)
