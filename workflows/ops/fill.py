"""`FillMissing`, `FillMedian` and `Clip`, whose constants Arrow's whole numbers would cut off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from nvtabular import ops

from towermill.workflows.ops.frames import is_arrow, on_cpu


class FillMissing(ops.FillMissing):  # type: ignore[misc]
    """NVTabular's `FillMissing`; whole numbers become floats if the constant is a fraction."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame with nulls filled."""
        constants = dict.fromkeys(col_selector.names, (self.fill_val,))
        return super().transform(col_selector, _with_room(df, constants))


class FillMedian(ops.FillMedian):  # type: ignore[misc]
    """NVTabular's `FillMedian`; whole numbers become floats if their median is one."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame with nulls filled."""
        constants = {name: (self.medians.get(name),) for name in col_selector.names}
        return super().transform(col_selector, _with_room(df, constants))


class Clip(ops.Clip):  # type: ignore[misc]
    """NVTabular's `Clip`; whole numbers become floats if a bound is one."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the frame with values within the bounds."""
        constants = dict.fromkeys(col_selector.names, (self.min_value, self.max_value))
        return super().transform(col_selector, _with_room(df, constants))


def _with_room(df: Any, constants: Mapping[str, tuple[Any, ...]]) -> Any:
    """Return the frame with float64 for Arrow's whole numbers that meet a fraction, and truths."""
    if not on_cpu(df):
        return df
    fractions = {
        name
        for name, values in constants.items()
        if any(isinstance(value, float) and not value.is_integer() for value in values)
    }
    wide = {}
    for name in constants:
        kind = df[name].dtype.pyarrow_dtype if is_arrow(df[name]) else None
        whole = kind is not None and pa.types.is_integer(kind) and name in fractions
        if whole or (kind is not None and pa.types.is_boolean(kind)):
            wide[name] = "float64"
    return df.astype(wide) if wide else df
