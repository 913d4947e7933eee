"""The kind ``number``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from towermill.errors import BundleError
from towermill.features.inputs import ModelInput
from towermill.features.shared.numeric import Numeric

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature


class Number(Numeric):
    """The column's number."""

    kind: ClassVar[str] = "number"
    reads = "numbers"
    raw_numbers = True

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return numbers as they are, decimals as floats and Booleans as 0 and 1."""
        del feature
        import polars as pl

        if dtype in (pl.Decimal, pl.Boolean):
            return pl.col(column).cast(pl.Float64 if dtype == pl.Decimal else pl.Int8)
        return pl.col(column) if dtype.is_numeric() else None

    def number(self, name: str, spec: ModelInput, values: Mapping[str, Any]) -> float | None:
        """Return the value; None if it is missing or NaN."""
        del spec
        value = values.get(name)
        if value is None:
            return None
        if not isinstance(value, bool | np.bool_ | Real):
            raise BundleError(f"`features.{name}` should be a number. Received: {value!r}")
        number = float(value)
        if math.isinf(number):
            raise BundleError(f"`features.{name}` should be finite. Received: {value!r}")
        return None if math.isnan(number) else number
