"""`ListSlice`: against Python's slices, and against stock NVTabular."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import nvtabular as nvt
import pandas as pd
import pyarrow as pa
import pytest
from nvtabular import ops as stock

from towermill.workflows.dataset import to_frame
from towermill.workflows.ops.list_slice import ListSlice

BACKINGS = ("arrow", "numpy")
LISTS: list[Any] = [[1, 2, 3, 4, 5, 6], [7], [], [8, 9], [10, 11, 12]]
BOUNDS = [
    (2, None),
    (-2, None),
    (0, 3),
    (1, 4),
    (3, 2),
    (0, -1),
    (1, -2),
    (-3, -1),
    (-1, -3),
    (-9, -2),
    (-4, 3),
    (-9, 2),
    (-2, 0),
    (0, None),
]


def frame_of(backing: str, values: list[Any]) -> pd.DataFrame:
    if backing == "arrow":
        return to_frame(pa.table({"x": values}))
    # Empty ones of the others' type, as they are read from Parquet.
    dtype = np.asarray([x for row in values for x in row or []]).dtype
    dtype = dtype if dtype.kind in "if" else np.dtype(object)
    rows = [None if row is None else np.asarray(row, dtype) for row in values]
    return pd.DataFrame({"x": pd.Series(rows, dtype=object)})


def transform(op: stock.ListSlice, frame: pd.DataFrame) -> list[Any]:
    return [list(row) for row in op.transform(nvt.ColumnSelector(["x"]), frame)["x"]]


def slow(row: list[Any], start: int, end: int | None) -> list[Any]:
    return row[:start] if start > 0 and end is None else row[start:end]


@pytest.mark.parametrize("backing", BACKINGS)
class TestSlice:
    @pytest.mark.parametrize(("start", "end"), BOUNDS)
    def test_is_that_of_python_and_of_stock(
        self, backing: str, start: int, end: int | None
    ) -> None:
        result = transform(ListSlice(start, end), frame_of(backing, LISTS))
        assert result == [slow(row, start, end) for row in LISTS]
        assert result == transform(stock.ListSlice(start, end), frame_of("numpy", LISTS))

    def test_keeps_type_index_and_input(self, backing: str) -> None:
        frame = frame_of(backing, LISTS[:3]).set_axis([4, 2, 8])
        before = frame.copy(deep=True)
        result = ListSlice(-2).transform(nvt.ColumnSelector(["x"]), frame)
        assert list(result.index) == [4, 2, 8]
        pd.testing.assert_frame_equal(frame, before)
        if backing == "arrow":
            assert result["x"].dtype.pyarrow_dtype.value_type == pa.int64()
        else:
            assert isinstance(result["x"][4], np.ndarray)
            assert result["x"][4].dtype == np.int64

    def test_a_null_list_is_an_empty_one(self, backing: str) -> None:
        assert transform(ListSlice(1), frame_of(backing, [None, [1, 2], None])) == [[], [1], []]

    def test_of_nothing_but_nulls_and_of_no_rows(self, backing: str) -> None:
        assert transform(ListSlice(1), frame_of(backing, [None, None])) == [[], []]
        assert transform(ListSlice(1), frame_of(backing, [[], []])) == [[], []]
        assert transform(ListSlice(1), frame_of(backing, [])) == []

    def test_text_in_lists(self, backing: str) -> None:
        assert transform(ListSlice(-1), frame_of(backing, [["a", "b"], [], ["c"]])) == [
            ["b"],
            [],
            ["c"],
        ]

    def test_of_text_is_stock(self, backing: str) -> None:
        frame = pd.DataFrame({"x": ["abc", "de"]})
        frame = to_frame(pa.Table.from_pandas(frame)) if backing == "arrow" else frame
        assert transform(ListSlice(2), frame) == transform(stock.ListSlice(2), frame)


@pytest.mark.parametrize("backing", BACKINGS)
class TestPad:
    @pytest.mark.parametrize(("start", "end"), [b for b in BOUNDS if b not in [(0, None), (1, -2)]])
    def test_is_that_of_stock(self, backing: str, start: int, end: int | None) -> None:
        op = ListSlice(start, end, pad=True, pad_value=-7)
        if op.max_elements < 0:
            pytest.skip("stock refuses arrays of a negative length")
        result = transform(op, frame_of(backing, LISTS))
        expected = stock.ListSlice(start, end, pad=True, pad_value=-7)
        assert result == transform(expected, frame_of("numpy", LISTS))
        assert {len(row) for row in result} == {op.max_elements}

    def test_pads_with_the_lists_own_type(self, backing: str) -> None:
        frame = frame_of(backing, [[1, 2, 3], [4], None])
        result = ListSlice(2, pad=True).transform(nvt.ColumnSelector(["x"]), frame)["x"]
        assert [list(row) for row in result] == [[1, 2], [4, 0], [0, 0]]
        assert all(np.asarray(row).dtype == np.int64 for row in result)

    def test_without_a_length_to_pad_to_only_slices(self, backing: str) -> None:
        op = ListSlice(0, -1, pad=True)
        assert transform(op, frame_of(backing, LISTS)) == [row[:-1] for row in LISTS]

    def test_of_no_rows_and_of_empty_lists(self, backing: str) -> None:
        op = ListSlice(2, pad=True, pad_value=1.5)
        assert transform(op, frame_of(backing, [])) == []
        assert transform(op, frame_of(backing, [[], []])) == [[1.5, 1.5], [1.5, 1.5]]

    def test_text_wants_text(self, backing: str) -> None:
        frame = frame_of(backing, [["a"], []])
        assert transform(ListSlice(2, pad=True, pad_value="-"), frame) == [["a", "-"], ["-", "-"]]
        with pytest.raises(TypeError, match="`pad_value` should be text"):
            transform(ListSlice(2, pad=True), frame)

    def test_without_an_end_is_refused(self, backing: str) -> None:
        with pytest.raises(ValueError, match="`end` should be given"):
            transform(ListSlice(0, pad=True), frame_of(backing, LISTS))


def test_null_within_a_list_stays() -> None:
    frame = to_frame(pa.table({"x": [[1, None, 3], None]}))
    result = ListSlice(2, pad=True, pad_value=9).transform(nvt.ColumnSelector(["x"]), frame)["x"]
    assert result.array.__arrow_array__().to_pylist() == [[1, None], [9, 9]]


@pytest.mark.parametrize("pad", [False, True])
def test_workflow_on_the_device(device: str, pad: bool) -> None:
    frame = pd.DataFrame({"x": LISTS, "y": [0.5, math.nan, 1.0, 2.0, 3.0]})
    data = nvt.Dataset(frame, cpu=device == "cpu")
    result = nvt.Workflow(["x"] >> ListSlice(-2, pad=pad)).fit_transform(data).compute()
    result = result if device == "cpu" else result.to_pandas()
    expected = [row[-2:] + [0] * pad * (2 - len(row[-2:])) for row in LISTS]
    assert [list(row) for row in result["x"]] == expected
