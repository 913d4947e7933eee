"""Fractions meet whole numbers, in Arrow's columns as in NumPy's."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from nvtabular import ColumnSelector

from towermill.workflows import ops
from towermill.workflows.dataset import to_frame
from towermill.workflows.ops.fill import Clip, FillMedian, FillMissing

SELECTED = ColumnSelector(["a"])


@pytest.fixture(params=["arrow", "numpy"])
def frame(request: pytest.FixtureRequest) -> pd.DataFrame:
    table = pa.table({"a": pa.array([0, None, 1, 3], pa.int64())})
    return to_frame(table) if request.param == "arrow" else table.to_pandas()


def medians(value: float) -> FillMedian:
    op = FillMedian()
    op.medians = {"a": value}
    return op


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (FillMissing(0.5), [0, 0.5, 1, 3]),
        (FillMissing(7), [0, 7, 1, 3]),
        (FillMissing(2.0), [0, 2, 1, 3]),
        (medians(1.5), [0, 1.5, 1, 3]),
        (Clip(0.5, 2.5), [0.5, None, 1, 2.5]),
        (Clip(min_value=1), [1, None, 1, 3]),
    ],
    ids=["fraction", "whole", "whole float", "median", "clip", "clip whole"],
)
def test_values(op: Any, expected: list[Any], frame: pd.DataFrame) -> None:
    found = op.transform(SELECTED, frame)["a"]
    assert [None if pd.isna(v) else float(v) for v in found] == expected


def test_all_are_put_in_the_place_of_stock() -> None:
    assert {FillMissing, FillMedian, Clip} <= {getattr(ops, name) for name in ops.__all__}
