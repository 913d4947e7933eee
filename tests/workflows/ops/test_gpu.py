"""The operators' way on a GPU, pandas frames standing in for cuDF's: the ids of a CPU.

What cuDF alone has (`values_of`, `lengths_of`, `relisted`, `to_gpu`) has a stand-in here; all else
is the code that runs on a GPU, in calls that pandas and cuDF share. `tests/gpu` runs it on cuDF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import nvtabular as nvt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from merlin.core.dispatch import is_list_dtype

from towermill.errors import DataError
from towermill.workflows.dataset import open_dataset, to_frame
from towermill.workflows.ops import Categorify, list_slice, normalize
from towermill.workflows.ops import gpu as gpu
from towermill.workflows.ops.categories import categorify
from towermill.workflows.ops.categories.vocabulary import Group, count_values
from towermill.workflows.ops.frames import to_polars

ROWS = 400


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Ties in frequency, nulls everywhere, NaN, empty and missing lists, large whole numbers."""
    rng = np.random.default_rng(5)
    n = ROWS
    words = np.array(["ß", "", "a", "b", "日本", "Z"])
    lists = [rng.integers(0, 9, k).tolist() for k in rng.integers(0, 4, n)]
    frame = pl.DataFrame(
        {
            "id": 2**53 + rng.integers(0, 40, n),
            "small": rng.integers(0, 9, n).astype(np.int32),
            "word": words[rng.integers(0, 6, n)],
            "real": rng.integers(0, 5, n) / 4,
            "flag": rng.random(n) < 0.5,
            "list": [None if i % 17 == 0 else v for i, v in enumerate(lists)],
        }
    ).with_columns(
        *(pl.when(pl.int_range(n) % 7 > 0).then(c).alias(c) for c in ("id", "word", "small")),
        pl.when(pl.int_range(n) % 5 > 0).then("real").otherwise(float("nan")).alias("real"),
        pl.col("list").cast(pl.List(pl.Int32)),
        pl.lit(None, pl.Int64).alias("nothing"),
    )
    return frame.to_arrow()


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is taken for one of cuDF."""

    def values_of(column: Any) -> Any:
        return column.list.flatten().reset_index(drop=True) if is_list_dtype(column) else column

    def lengths_of(column: Any) -> Any:
        return column.list.len().fillna(0).to_numpy(np.int64)

    def relisted(values: Any, lengths: Any, like: Any) -> Any:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        flat = pa.array(values)
        flat = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
        lists = pa.ListArray.from_arrays(pa.array(offsets), flat)
        return pd.Series(pd.arrays.ArrowExtensionArray(lists), index=like.index)

    stand_ins = {"values_of": values_of, "lengths_of": lengths_of, "relisted": relisted}
    for name, function in {**stand_ins, "to_gpu": to_frame}.items():
        monkeypatch.setattr(gpu, name, function)
    for module in (categorify, list_slice):
        monkeypatch.setattr(module, "on_cpu", lambda frame: False)


def groups(*columns: str, keys: tuple[str, ...] | None = None) -> list[Group]:
    return [Group("_".join(columns), columns, keys or ("_".join(columns),))]


@pytest.mark.usefixtures("on_gpu")
class TestCount:
    @pytest.mark.parametrize(
        "group",
        [
            *(groups(name) for name in ("id", "small", "word", "real", "flag", "list", "nothing")),
            groups("small", "list"),
            groups("word", "small", keys=("word", "small")),
        ],
        ids=str,
    )
    def test_as_on_a_cpu(self, table: pa.Table, group: list[Group]) -> None:
        frame = to_frame(table)
        (name, found), *_ = gpu.count_on_gpu(frame, group).items()
        expected = count_values(frame, group)[name]
        keys = list(group[0].keys)
        expected = expected.group_by(keys).agg(pl.col("__size").sum()).sort(keys)
        assert found.sort(keys).select(expected.columns).cast(expected.schema).equals(expected)

    def test_types_that_do_not_meet(self, table: pa.Table) -> None:
        with pytest.raises(TypeError, match="values of one type"):
            gpu.count_on_gpu(to_frame(table), groups("id", "word"))


OPTIONS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "defaults": (["id", "small", "word", "real", "flag", "list", "nothing"], {}),
    "threshold": (["id", "word", "list"], {"freq_threshold": 12}),
    "size": (["id", "list"], {"max_size": 6, "dtype": "int32"}),
    "buckets": (["id", "word", "list", "real"], {"freq_threshold": 12, "num_buckets": 3}),
    "joint": ([["small", "list"], "id"], {}),
    "combination": ([["small", "word"]], {"encode_type": "combo"}),
    "uncached": (["id", "list"], {"cat_cache": "disk"}),
}


@pytest.mark.filterwarnings("ignore:Performing a hash", "ignore:You are setting num_buckets")
class TestCategorify:
    @pytest.fixture
    def data(self, table: pa.Table, tmp_path: Path) -> Any:
        pl.DataFrame(table).write_parquet(tmp_path / "in.parquet", row_group_size=90)
        return open_dataset(tmp_path / "in.parquet", part_size="1B", cpu=True)

    def encoded(self, data: Any, columns: Any, out: Path, **options: Any) -> Any:
        op = Categorify(out_path=str(out), **options)
        selector = nvt.ColumnSelector(columns)
        op.fit_finalize(op.fit(selector, data.to_ddf()).compute(scheduler="synchronous"))
        frame = data.to_ddf().compute(scheduler="synchronous").iloc[::-1]
        found = op.transform(selector, frame)
        assert found.index.equals(frame.index)
        names = op.column_mapping(selector)
        return {name: to_polars(found[name]).to_list() for name in names}, op

    @pytest.mark.parametrize("name", OPTIONS)
    def test_ids_and_files_as_on_a_cpu(
        self, data: Any, tmp_path: Path, name: str, request: pytest.FixtureRequest
    ) -> None:
        columns, options = OPTIONS[name]
        expected, cpu = self.encoded(data, columns, tmp_path / "cpu", **options)
        request.getfixturevalue("on_gpu")
        found, op = self.encoded(data, columns, tmp_path / "gpu", **options)
        assert found == expected
        for stored, path in op.categories.items():
            frame, like = pd.read_parquet(path), pd.read_parquet(cpu.categories[stored])
            assert frame.index.equals(like.index)
            # Of nothing but nulls there is no telling the type.
            pd.testing.assert_frame_equal(frame, like, check_dtype="nothing" not in stored)

    @pytest.mark.usefixtures("on_gpu")
    def test_nothing_is_left_of_an_empty_part(self, data: Any, tmp_path: Path) -> None:
        op = Categorify(out_path=str(tmp_path))
        selector = nvt.ColumnSelector(["id", "list"])
        op.fit_finalize(op.fit(selector, data.to_ddf()).compute(scheduler="synchronous"))
        empty = data.to_ddf().compute(scheduler="synchronous").head(0)
        assert len(op.transform(selector, empty)) == 0


@pytest.mark.usefixtures("on_gpu")
class TestNormalize:
    def test_moments_as_on_a_cpu(self, table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(normalize, "values_of", gpu.values_of)
        frame = to_frame(table)
        names = ["id", "small", "real", "list"]  # whole numbers beyond 2⁵³, nulls, NaN, lists
        found = normalize.measure_on_gpu(frame, names)
        for name, expected in normalize.measure(frame, names).items():
            assert found[name].size == expected.size
            assert found[name].mean == pytest.approx(expected.mean, rel=1e-12)
            assert found[name].squares == pytest.approx(expected.squares, rel=1e-6, abs=1e-9)

    def test_of_nothing(self, table: pa.Table) -> None:
        frame = to_frame(table)[["real"]].head(0)
        (size, mean, squares) = normalize.measure_on_gpu(frame, ["real"])["real"]
        assert (size, squares) == (0, 0.0)
        assert np.isnan(mean)


@pytest.mark.usefixtures("on_gpu")
class TestOutOfMemory:
    ADVICE = r".*RMM failure.*`runtime.rmm_pool`.*`max_size` or `freq_threshold`.*device: cpu"

    @pytest.fixture
    def full(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def fail(*arguments: Any) -> None:
            raise MemoryError("std::bad_alloc: out_of_memory: RMM failure")

        def fill(name: str) -> None:
            monkeypatch.setattr(gpu, name, fail)

        return fill

    def test_in_fit(self, table: pa.Table, full: Any) -> None:
        full("_sizes")
        with pytest.raises(DataError, match="the distinct values of 'id'" + self.ADVICE):
            gpu.count_on_gpu(to_frame(table), groups("id"))

    def test_of_the_vocabulary(self, full: Any) -> None:
        full("to_gpu")
        with pytest.raises(DataError, match=r"the vocabulary of x \(2 rows\)" + self.ADVICE):
            gpu.GPULookup(pl.DataFrame({"x": [1, 2]}), 3, 1, 2)

    def test_in_transform(self, table: pa.Table, full: Any, tmp_path: Path) -> None:
        frame = to_frame(table)
        op, selector = Categorify(out_path=str(tmp_path)), nvt.ColumnSelector(["list"])
        counts = gpu.count_on_gpu(frame, groups("list"))
        op.fit_finalize(categorify._write_all(counts, groups("list"), str(tmp_path), {"list": {}}))
        full("values_of")
        with pytest.raises(DataError, match="while the column 'list' is encoded" + self.ADVICE):
            op.transform(selector, frame)


@pytest.mark.usefixtures("on_gpu")
class TestListSlice:
    @pytest.mark.parametrize(
        ("start", "end"), [(0, 2), (1, 3), (-2, None), (0, -1), (-3, -1), (5, 2)]
    )
    def test_as_python_slices(self, table: pa.Table, start: int, end: int | None) -> None:
        frame = to_frame(table).iloc[3:]
        op = list_slice.ListSlice(start, end)
        found = op.transform(nvt.ColumnSelector(["list"]), frame[["list"]])
        expected = [(row or [])[start:end] for row in table["list"].to_pylist()[3:]]
        assert to_polars(found["list"]).to_list() == expected
        assert found.index.equals(frame.index)
