"""`Groupby`: against stock NVTabular, and against histories worked out by hand."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import nvtabular as nvt
import pandas as pd
import pyarrow as pa
import pytest
from nvtabular import ops as stock

from towermill.workflows.dataset import to_frame
from towermill.workflows.ops.groupby import Groupby

BACKINGS = ("arrow", "numpy")
SOURCES = ("item", "price", "word", "at")
#: Times are all different: stock does not sort stably.
ROWS: dict[str, list[Any]] = {
    "user": [3, 1, 3, 2, 1, 3, 1],
    "day": ["b", "a", "a", "a", "b", "b", "a"],
    "item": [10, 11, 12, 13, 11, 10, 14],
    "price": [1.5, math.nan, 2.5, 4.0, 0.25, math.nan, 8.0],
    "word": ["x", "y", "z", "x", "y", "w", "v"],
    "at": pd.to_datetime([7, 6, 5, 4, 3, 2, 1], unit="D"),
}


def frame_of(backing: str, rows: dict[str, Any] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(ROWS if rows is None else rows)
    if backing == "arrow":
        return to_frame(pa.Table.from_pandas(frame, preserve_index=False))
    return frame


def transform(op: stock.Groupby, frame: pd.DataFrame) -> pd.DataFrame:
    return op.transform(nvt.ColumnSelector(list(frame)), frame.copy())


def plain(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return lists of Python's objects, None for any null; floats by 6 digits."""

    def value(x: Any) -> Any:
        if isinstance(x, list | np.ndarray):
            return [value(y) for y in x]
        if x is None or x is pd.NaT or x is pd.NA or (isinstance(x, float) and math.isnan(x)):
            return None
        if isinstance(x, float | np.floating):
            return None if np.isnan(x) else float(f"{x:.6g}")
        return x.item() if isinstance(x, np.integer) else x

    return {name: [value(x) for x in frame[name]] for name in frame}


@pytest.mark.parametrize("backing", BACKINGS)
class TestAgainstStock:
    @pytest.mark.parametrize("ascending", [True, False])
    @pytest.mark.parametrize("keys", ["user", ["user"], ["day", "user"]])
    @pytest.mark.parametrize("sort", [None, "at", ["day", "at"]])
    def test_all_aggregations(self, backing: str, sort: Any, keys: Any, ascending: bool) -> None:
        numbers = ["sum", "mean", "var", "std", "median", "min", "max", "count", "nunique"]
        ends = ["list", "first", "last", "count"]
        aggs = {"item": numbers + ends, "price": numbers + ends, "word": ends, "at": ["first"]}
        arguments: dict[str, Any] = {"sort_cols": sort, "aggs": aggs, "ascending": ascending}
        expected = transform(stock.Groupby(keys, **arguments), frame_of("numpy"))
        result = transform(Groupby(keys, **arguments), frame_of(backing))
        assert list(result) == list(expected)
        assert plain(result) == plain(expected)
        for name in result:
            if backing == "numpy":
                assert result[name].dtype == expected[name].dtype, name
            elif not isinstance(result[name].dtype, pd.ArrowDtype):
                assert name == "user" or name.split("_")[0] in SOURCES
        assert list(result.index) == list(range(len(expected)))

    @pytest.mark.parametrize("aggs", ["list", ["first", "count"], {"item": list}, {"item": "last"}])
    def test_ways_to_name_aggregations(self, backing: str, aggs: Any) -> None:
        frame = frame_of("numpy").drop(columns="price")
        arguments = {"groupby_cols": "user", "aggs": aggs, "sort_cols": "at", "name_sep": "-"}
        expected = transform(stock.Groupby(**arguments), frame)
        result = transform(Groupby(**arguments), frame_of(backing).drop(columns="price"))
        assert list(result) == list(expected)
        assert plain(result) == plain(expected)

    @pytest.mark.parametrize("key", [[None, 1.0, 2.0, None, 1.0], ["b", None, "a", "b", None]])
    def test_a_null_key_is_no_group(self, backing: str, key: list[Any]) -> None:
        rows = {"key": key, "x": [1, 2, 3, 4, 5]}
        arguments = {"groupby_cols": "key", "aggs": ["list", "sum"]}
        expected = transform(stock.Groupby(**arguments), frame_of("numpy", rows))
        assert plain(transform(Groupby(**arguments), frame_of(backing, rows))) == plain(expected)

    def test_one_row(self, backing: str) -> None:
        rows = {"key": ["a"], "x": [1.5]}
        arguments = {"groupby_cols": "key", "aggs": ["list", "std", "median", "last", "nunique"]}
        expected = transform(stock.Groupby(**arguments), frame_of("numpy", rows))
        assert plain(transform(Groupby(**arguments), frame_of(backing, rows))) == plain(expected)

    def test_no_rows(self, backing: str) -> None:
        arguments: dict[str, Any] = {
            "groupby_cols": ["user", "day"],
            "aggs": {"item": ["list", "sum", "count"], "price": ["list", "mean", "max"]},
            "sort_cols": "at",
        }
        whole = transform(Groupby(**arguments), frame_of(backing))
        result = transform(Groupby(**arguments), frame_of(backing)[:0])
        assert len(result) == 0
        assert list(result) == list(whole)
        assert list(result.dtypes) == list(whole.dtypes)

    def test_an_unknown_aggregation_is_stocks(self, backing: str) -> None:
        frame = frame_of("numpy")[["user", "item"]]
        arguments = {"groupby_cols": "user", "aggs": {"item": ["prod", "list"]}}
        expected = transform(stock.Groupby(**arguments), frame)
        result = transform(Groupby(**arguments), frame_of(backing)[["user", "item"]])
        assert plain(result) == plain(expected)

    def test_text_has_no_mean(self, backing: str) -> None:
        with pytest.raises((TypeError, ValueError)):
            transform(Groupby("user", aggs={"word": "mean"}), frame_of(backing))


@pytest.mark.parametrize("backing", BACKINGS)
class TestByHand:
    @pytest.mark.parametrize(
        ("ascending", "histories"),
        [(True, [["b", "d", "a", "c"], ["f", "e"]]), (False, [["a", "c", "b", "d"], ["e", "f"]])],
    )
    def test_ties_stay_in_their_order(
        self, backing: str, ascending: bool, histories: list[list[str]]
    ) -> None:
        rows = {
            "user": [1, 1, 1, 1, 2, 2],
            "at": [2, 1, 2, 1, 5, 4],
            "item": ["a", "b", "c", "d", "e", "f"],
        }
        op = Groupby("user", "at", {"item": ["list", "first", "last"]}, ascending=ascending)
        result = plain(transform(op, frame_of(backing, rows)))
        assert result["item_list"] == histories
        ends = [[h[0] for h in histories], [h[-1] for h in histories]]
        assert [result["item_first"], result["item_last"]] == (ends if ascending else ends[::-1])

    def test_missing_times_come_last(self, backing: str) -> None:
        rows = {"user": [1, 1, 1], "at": [math.nan, 2.0, 1.0], "item": [1, 2, 3]}
        for ascending, expected in [(True, [3, 2, 1]), (False, [2, 3, 1])]:
            op = Groupby("user", "at", {"item": "list"}, ascending=ascending)
            assert plain(transform(op, frame_of(backing, rows)))["item_list"] == [expected]

    def test_numbers_are_those_of_statistics(self, backing: str) -> None:
        op = Groupby("user", aggs={"item": ["sum", "mean", "var", "std", "median"]})
        result = transform(op, frame_of(backing))
        for row, user in enumerate([1, 2, 3]):
            values = [i for u, i in zip(ROWS["user"], ROWS["item"], strict=True) if u == user]
            assert result["item_sum"][row] == sum(values)
            assert result["item_mean"][row] == pytest.approx(statistics.fmean(values))
            assert result["item_median"][row] == statistics.median(values)
            if len(values) > 1:
                assert result["item_var"][row] == pytest.approx(statistics.variance(values))
                assert result["item_std"][row] == pytest.approx(statistics.stdev(values))

    def test_sums_do_not_overflow(self, backing: str) -> None:
        rows = {"user": [1, 1], "x": np.array([2**31 - 1, 2**31 - 1], np.int32)}
        result = transform(Groupby("user", aggs={"x": "sum"}), frame_of(backing, rows))
        assert result["x_sum"][0] == np.float32(2**32 - 2)

    def test_leaves_its_input_alone(self, backing: str) -> None:
        frame = frame_of(backing).set_axis([9, 8, 7, 6, 5, 4, 3])
        before = frame.copy(deep=True)
        selector = nvt.ColumnSelector(list(frame))
        Groupby("user", "at", ["list", "first"]).transform(selector, frame)
        pd.testing.assert_frame_equal(frame, before)


class TestTypes:
    def test_arrow_nulls_stay_whole_numbers(self) -> None:
        big = 2**53 + 1
        frame = to_frame(pa.table({"user": [1, 1, 2], "x": [big, None, None]}))
        aggs = {"x": ["list", "first", "last", "max", "count", "nunique", "sum"]}
        result = transform(Groupby("user", aggs=aggs), frame)
        assert result["x_list"].array.__arrow_array__().to_pylist() == [[big, None], [None]]
        assert result["x_first"].tolist()[0] == result["x_max"].tolist()[0] == big
        assert result["x_last"].isna().tolist() == [True, True]
        assert result["x_count"].tolist() == result["x_nunique"].tolist() == [1, 0]
        assert result["x_sum"].tolist() == [float(2**53), 0.0]

    @pytest.mark.parametrize(
        "dtype", ["uint8", "int16", "bool", "float32", "datetime64[s]", "m8[ns]"]
    )
    def test_numpy_types_of_picked_values(self, dtype: str) -> None:
        values = np.array([0, 1, 1]).astype(dtype)
        frame = pd.DataFrame({"user": [2, 1, 1], "x": values})
        result = transform(Groupby("user", aggs={"x": ["first", "max"]}), frame)
        assert result["x_first"].dtype == result["x_max"].dtype == np.dtype(dtype)

    @pytest.mark.parametrize("dtype", ["category", "datetime64[ns, UTC]", "Int64"])
    def test_types_of_pandas_alone_are_stocks(self, dtype: str) -> None:
        values = pd.Series([0, 1, 1]).astype(dtype)
        frame = pd.DataFrame({"user": [2, 1, 1], "x": values})
        arguments = {"groupby_cols": "user", "aggs": {"x": ["first", "count"]}}
        expected = transform(stock.Groupby(**arguments), frame)
        pd.testing.assert_frame_equal(transform(Groupby(**arguments), frame), expected)

    def test_lists_of_lists(self) -> None:
        frame = to_frame(pa.table({"user": [1, 2, 1], "x": [[1, 2], [], [3]]}))
        result = transform(Groupby("user", aggs={"x": ["list", "first", "count"]}), frame)
        assert result["x_list"].array.__arrow_array__().to_pylist() == [[[1, 2], [3]], [[]]]
        assert plain(result)["x_first"] == [[1, 2], []]
        assert plain(result)["x_count"] == [2, 1]


def test_workflow_on_the_device(device: str) -> None:
    frame = pd.DataFrame({"user": [2, 1, 2], "at": [2, 1, 1], "item": [5, 6, 7]})
    data = nvt.Dataset(frame, cpu=device == "cpu")
    op = Groupby("user", "at", {"item": ["list", "first"], "at": ["last", "count"]})
    result = nvt.Workflow(["user", "at", "item"] >> op).fit_transform(data).compute()
    result = result if device == "cpu" else result.to_pandas()
    result = plain(result.sort_values("user"))
    assert result == {
        "user": [1, 2],
        "item_list": [[6], [7, 5]],
        "item_first": [6, 7],
        "at_last": [1, 2],
        "at_count": [1, 2],
    }
