"""`Filter` whose function may return a mask of any Boolean type."""

from __future__ import annotations

from typing import Any

import pandas as pd
from nvtabular import ops

from towermill.workflows.ops.frames import on_cpu


class Filter(ops.Filter):  # type: ignore[misc]
    """NVTabular's `Filter`; a mask may have nulls, which keep no row.

    A function with an attribute ``columns``, the names it reads, is applied before the encoding by
    `write`, if no operator changes them. If it has a method ``can_hold`` as
    well, which takes the greatest value of each, row groups of which that says no are not read.
    """

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return the rows for which the function is true."""
        if not on_cpu(df):
            return super().transform(col_selector, df)
        kept = self.f(df)
        if isinstance(kept, pd.Series) and pd.api.types.is_bool_dtype(kept.dtype):
            mask = kept if kept.index.equals(df.index) else kept.reindex(df.index)
            kept = df[mask.fillna(False).to_numpy(bool)]
        if not isinstance(kept, pd.DataFrame):
            raise ValueError(
                "The function of `Filter` should return a frame, or a mask of Booleans. Received: "
                f"{type(kept).__name__} {getattr(kept, 'dtype', '')}"
            )
        return kept.reset_index(drop=True)
