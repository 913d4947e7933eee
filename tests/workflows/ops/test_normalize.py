"""`Normalize`: against stock NVTabular, and against Python's `statistics`."""

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
from towermill.workflows.ops.normalize import Normalize, measure, merge, summarize

BACKINGS = ("arrow", "numpy")
Values = list[Any]


def frame_of(backing: str, **columns: Values) -> pd.DataFrame:
    """Return a frame as `ArrowDataset` gives it, or one as stock pandas makes it."""
    if backing == "arrow":
        return to_frame(pa.table(columns))
    return pd.DataFrame(
        {
            name: [np.asarray(v) if isinstance(v, list) else v for v in values]
            for name, values in columns.items()
        }
    )


def fit(op: stock.Normalize, frame: pd.DataFrame, npartitions: int = 1) -> stock.Normalize:
    ddf = nvt.Dataset(frame, npartitions=npartitions).to_ddf()
    op.fit_finalize(op.fit(nvt.ColumnSelector(list(frame)), ddf).compute(scheduler="synchronous"))
    return op


def transform(op: stock.Normalize, frame: pd.DataFrame) -> pd.DataFrame:
    return op.transform(nvt.ColumnSelector(list(frame)), frame)


def present(values: Values) -> list[float]:
    flat = [x for v in values for x in (v if isinstance(v, list) else [v])]
    return [float(x) for x in flat if x is not None and not math.isnan(x)]


CASES: dict[str, Values] = {
    "ints": [3, 1, 4, 1, 5, 9, 2, 6],
    "ints_null": [3, None, 4, 1, 5, None, 2, 6],
    "floats": [0.5, -1.25, 3.0, 3.0, 2.5, 0.0, 7.75, 1.0],
    "floats_nan": [0.5, math.nan, 3.0, None, 2.5, 0.0, 7.75, 1.0],
    "equal": [0.1] * 8,
    "bools": [True, False, True, True, False, False, True, True],
    "one": [None, None, 7.0, None, None, None, None, None],
}
LISTS: dict[str, Values] = {
    "ragged": [[1, 2], [3], [4, 5, 6], [], [7], [8], [], [9]],
    "floats": [[0.5, 2.0], [], [1.5], [3.0], [4.5, 1.0], [0.0], [2.5], []],
}


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("npartitions", [1, 3])
class TestFit:
    @pytest.mark.parametrize("case", [*CASES, *LISTS])
    def test_is_the_mean_and_deviation_of_the_sample(
        self, backing: str, case: str, npartitions: int
    ) -> None:
        values = CASES.get(case) or LISTS[case]
        op = fit(Normalize(), frame_of(backing, x=values), npartitions)
        kept = present(values)
        assert op.means["x"] == pytest.approx(statistics.fmean(kept), rel=1e-14)
        if len(kept) == 1:
            assert math.isnan(op.stds["x"])
        else:
            assert op.stds["x"] == pytest.approx(statistics.stdev(kept), rel=1e-13, abs=0)

    @pytest.mark.parametrize("case", ["ints", "floats", "floats_nan", "one"])
    def test_is_as_stock(self, backing: str, case: str, npartitions: int) -> None:
        frame = frame_of("numpy", x=CASES[case])
        expected = fit(stock.Normalize(), frame, npartitions)
        op = fit(Normalize(), frame_of(backing, x=CASES[case]), npartitions)
        assert op.means["x"] == pytest.approx(expected.means["x"])
        assert op.stds["x"] == pytest.approx(expected.stds["x"], nan_ok=True)

    def test_does_not_cancel_far_from_zero(self, backing: str, npartitions: int) -> None:
        values = [1e9 + x for x in (4.0, 7.0, 13.0, 16.0)]
        op = fit(Normalize(), frame_of(backing, x=values), npartitions)
        assert op.stds["x"] == pytest.approx(statistics.stdev(values), rel=1e-14)

    def test_of_nothing_but_nulls_is_nan(self, backing: str, npartitions: int) -> None:
        frame = frame_of(backing, x=[None] * 4, y=[1.0, 2.0, 3.0, 4.0])
        if backing == "numpy":
            frame["x"] = frame["x"].astype(float)
        op = fit(Normalize(), frame, npartitions)
        assert math.isnan(op.means["x"])
        assert math.isnan(op.stds["x"])
        assert op.means["y"] == 2.5


class TestMoments:
    def test_merge_is_the_same_in_any_cut(self) -> None:
        values = np.random.default_rng(0).normal(1e6, 3.0, 1000)
        values[::7] = np.nan
        frame = pd.DataFrame({"x": values})
        whole = summarize(measure(frame, ["x"]))
        parts = [measure(frame[a:b], ["x"]) for a, b in [(0, 1), (1, 400), (400, 400), (400, 1000)]]
        cut = summarize(merge(parts))
        assert whole.loc["x", "count"] == cut.loc["x", "count"] == np.isfinite(values).sum()
        np.testing.assert_allclose(whole.loc["x"], cut.loc["x"], rtol=1e-12)
        np.testing.assert_allclose(whole.loc["x", "std"], np.nanstd(values, ddof=1), rtol=1e-12)

    def test_equal_numbers_have_no_deviation_at_all(self) -> None:
        frame = pd.DataFrame({"x": np.full(1001, 0.1, np.float32)})
        table = summarize(merge([measure(frame[:7], ["x"]), measure(frame[7:], ["x"])]))
        assert table.loc["x", "std"] == 0.0

    @pytest.mark.filterwarnings("error")
    def test_infinities_leave_no_deviation(self) -> None:
        frame = pd.DataFrame({"x": [1.0, -math.inf, 1e300, math.inf]})
        table = summarize(merge([measure(frame[:2], ["x"]), measure(frame[2:], ["x"])]))
        assert math.isnan(table.loc["x", "std"])

    def test_whole_numbers_do_not_overflow(self) -> None:
        frame = to_frame(pa.table({"x": pa.array([100, 120, 127], pa.int8())}))
        assert summarize(measure(frame, ["x"])).loc["x", "mean"] == pytest.approx(347 / 3)


@pytest.mark.parametrize("backing", BACKINGS)
class TestTransform:
    @pytest.mark.parametrize("dtype", [None, "float32"])
    @pytest.mark.parametrize("case", CASES)
    def test_is_as_stock_on_numpy(self, backing: str, case: str, dtype: str | None) -> None:
        plain = pd.DataFrame({"x": pd.Series(CASES[case], dtype=float)})
        op = fit(Normalize(dtype), frame_of(backing, x=CASES[case]))
        expected = fit(stock.Normalize(dtype), plain)
        expected.means, expected.stds = op.means, op.stds
        result = transform(op, frame_of(backing, x=CASES[case]))
        # NumPy's nulls among booleans are objects; stock cannot tell those from lists.
        pd.testing.assert_frame_equal(result, transform(expected, plain))

    @pytest.mark.parametrize("case", LISTS)
    def test_lists_keep_their_lengths(self, backing: str, case: str) -> None:
        plain = frame_of("numpy", x=LISTS[case])
        op = fit(Normalize("float32"), frame_of(backing, x=LISTS[case]))
        expected = transform(fit(stock.Normalize("float32"), plain), plain)
        result = transform(op, frame_of(backing, x=LISTS[case]))
        if backing == "arrow":
            assert result["x"].dtype.pyarrow_dtype == pa.large_list(pa.float32())
        else:
            assert all(row.dtype == np.float32 for row in result["x"])
        for got, wanted in zip(result["x"], expected["x"], strict=True):
            np.testing.assert_allclose(np.asarray(got, float), np.asarray(wanted, float), rtol=1e-6)

    def test_nulls_in_and_of_lists(self, backing: str) -> None:
        frame = frame_of(backing, x=[[1.0, None], None, [3.0]])
        if backing == "numpy":
            frame["x"] = [np.array([1.0, np.nan]), None, np.array([3.0])]
        result = transform(fit(Normalize(), frame), frame)["x"]
        root = 2**0.5
        np.testing.assert_allclose(result[0], [-1 / root, np.nan])
        np.testing.assert_allclose(result[2], [1 / root])
        assert len(result[1]) == 0

    def test_of_a_column_fitted_on_nulls_is_nan(self, backing: str) -> None:
        op = Normalize("float32")
        op.means, op.stds = {"x": math.nan}, {"x": math.nan}
        result = transform(op, frame_of(backing, x=[1, 2]))
        assert result["x"].isna().all()
        assert result["x"].dtype == np.float32

    def test_keeps_the_index_and_its_input(self, backing: str) -> None:
        frame = frame_of(backing, x=[1, 2, 3], y=[[1], [2, 3], []]).set_axis([5, 3, 9])
        before = frame.copy(deep=True)
        result = transform(fit(Normalize(), frame), frame)
        assert list(result.index) == [5, 3, 9]
        assert result["y"].notna().all()
        pd.testing.assert_frame_equal(frame, before)

    def test_of_no_rows_has_the_types(self, backing: str) -> None:
        frame = frame_of(backing, x=[1, 2], y=[[1], [2, 3]])
        op = fit(Normalize("float32"), frame)
        result = transform(op, frame[:0])
        assert len(result) == 0
        assert result["x"].dtype == np.float32
        if backing == "arrow":
            assert result["y"].dtype == transform(op, frame)["y"].dtype

    def test_text_is_refused(self, backing: str) -> None:
        op = Normalize()
        op.means, op.stds = {"x": 0.0}, {"x": 1.0}
        with pytest.raises(TypeError, match=r"Expected numbers in column 'x'.*found String"):
            transform(op, frame_of(backing, x=["1", "2"]))


def test_workflow_on_the_device(device: str) -> None:
    values = [0.5, math.nan, 3.0, 3.0, 2.5, 0.0]
    data = nvt.Dataset(pd.DataFrame({"x": values}), cpu=device == "cpu")
    result = nvt.Workflow(["x"] >> Normalize("float32")).fit_transform(data).compute()
    result = result if device == "cpu" else result.to_pandas()
    kept = present(values)
    expected = (np.array(values) - statistics.fmean(kept)) / statistics.stdev(kept)
    np.testing.assert_allclose(result["x"], expected, rtol=1e-6)
