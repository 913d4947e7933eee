"""The NVTabular operator that turns numbers into the indices of their intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd
from nvtabular import ops


class Intervals(ops.Bucketize):  # type: ignore[misc]
    """`Bucketize` that leaves a missing number missing (stock puts it in the last interval)."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        # CuPy takes no nulls; their placeholders are removed below.
        filled = df if isinstance(df, pd.DataFrame) else df[col_selector.names].fillna(0)
        intervals = super().transform(col_selector, filled)
        for name in col_selector.names:
            intervals[name] = intervals[name].where(df[name].notna())
        return intervals
