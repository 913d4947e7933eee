"""Each operator, fitted and applied on a GPU: ids equal, numbers to five digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import nvtabular as nvt
import polars as pl
import pytest
from nvtabular import ops
from polars.testing import assert_frame_equal

from towermill.features.age import days_since
from towermill.features.shared.intervals import Intervals
from towermill.features.timestamp_parts import day_of_week, hour_of_day
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import to_table, write
from towermill.workflows.selecting.signals import AllOf, Condition

ROWS = 5000
#: Of numbers; ids and rows are equal.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ties in frequency, nulls, lists that are empty or missing; no null where stock takes none."""
    rng = np.random.default_rng(9)
    days = rng.integers(0, 500, (2, ROWS)).astype("timedelta64[h]") + np.datetime64("2024-01-01")
    lists = [rng.integers(0, 50, k).tolist() for k in rng.integers(0, 6, ROWS)]
    frame = pl.DataFrame(
        {
            "id": 2**53 + rng.integers(0, 900, ROWS),
            "small": rng.integers(0, 60, ROWS).astype(np.int32),
            "word": [f"w{i}" for i in rng.integers(0, 300, ROWS)],
            "list": pl.Series(lists, dtype=pl.List(pl.Int32)),
            "words": [[f"t{v % 7}" for v in row] for row in lists],
            "x": rng.normal(50, 3, ROWS),
            "count": rng.integers(0, 1000, ROWS),
            "rating": rng.integers(1, 6, ROWS).astype(np.float32),
            "timestamp": days[0].astype("datetime64[us]"),
            "born": days[1].astype("datetime64[us]"),
        }
    ).with_columns(
        *(pl.when(pl.int_range(ROWS) % 11 > 0).then(c).alias(c) for c in ("id", "word", "list")),
        pl.when(pl.int_range(ROWS) % 13 > 0).then("x").alias("holes"),
    )
    file = tmp_path_factory.mktemp("ops") / "in.parquet"
    frame.write_parquet(file, row_group_size=700)
    return file


def table(path: Path, graph: Any, device: str) -> tuple[pl.DataFrame, Workflow]:
    data = open_dataset(path, part_size="40kB", cpu=device == "cpu")
    workflow = Workflow(graph).fit(data)
    return to_table(workflow.transform(data)), workflow


def categorify(columns: Any, **options: Any) -> Callable[[Path], Any]:
    return lambda out: columns >> ops.Categorify(out_path=str(out), **options)


CATEGORIES: dict[str, Callable[[Path], Any]] = {
    "each kind": categorify(["id", "small", "word", "list", "words"]),
    "int32": categorify(["id", "list"], dtype="int32"),
    "threshold": categorify(["id", "word", "list"], freq_threshold=6),
    "size": categorify(["id", "words"], max_size=5),
    "buckets": categorify(["id", "word", "list"], freq_threshold=6, num_buckets=4),
    "joint": categorify([["small", "list"], "id"]),
    "combination": categorify([["small", "word"]], encode_type="combo"),
}
OTHERS: dict[str, Callable[[Path], Any]] = {
    "FillMissing": lambda out: ["holes"] >> ops.FillMissing(0.5),
    "FillMedian": lambda out: ["holes"] >> ops.FillMedian(),
    "Clip": lambda out: ["x", "count"] >> ops.Clip(min_value=10, max_value=52),
    "Normalize": lambda out: ["x", "holes", "count"] >> ops.Normalize(out_dtype="float32"),
    "LogOp": lambda out: ["x", "count"] >> ops.LogOp(),
    "Bucketize": lambda out: ["holes"] >> Intervals({"holes": [47.0, 50.0, 53.0]}),
    "ListSlice": lambda out: ["list", "words"] >> ops.ListSlice(1, 3),
    "ListSlice, from the end": lambda out: ["list"] >> ops.ListSlice(-2),
    "Filter": lambda out: ["id", "rating"] >> ops.Filter(AllOf((Condition("rating", 4.0),))),
    "Filter, of values": lambda out: (
        ["id", "word"] >> ops.Filter(AllOf((Condition("word", ("w1", "w2", "w200")),)))
    ),
    "hour": lambda out: ["timestamp"] >> ops.LambdaOp(hour_of_day),
    "weekday": lambda out: ["timestamp"] >> ops.LambdaOp(day_of_week),
    "age": lambda out: ["born"] >> ops.LambdaOp(days_since, dependency=["timestamp"]),
    "Groupby": lambda out: (
        ["small", "x", "timestamp"]
        >> ops.Groupby("small", ["timestamp"], {"x": ["mean", "count", "sum"]})
    ),
    "JoinExternal": lambda out: (
        ["small", "x"]
        >> ops.JoinExternal(
            nvt.Dataset(
                pl.DataFrame({"small": range(60), "kind": range(100, 160)}).to_pandas(), cpu=True
            ),
            on="small",
        )
    ),
}


class TestCategorify:
    @pytest.mark.filterwarnings("ignore:Performing a hash", "ignore:You are setting num_buckets")
    @pytest.mark.parametrize("name", CATEGORIES)
    def test_ids_and_vocabularies_are_equal(
        self, path: Path, tmp_path: Path, other: str, name: str
    ) -> None:
        expected, cpu = table(path, CATEGORIES[name](tmp_path / "cpu"), "cpu")
        found, gpu = table(path, CATEGORIES[name](tmp_path / "gpu"), other)
        assert found.schema == expected.schema
        assert found.equals(expected)
        for schema in cpu.output_schema:
            paths = [flow.output_schema[schema.name].properties["cat_path"] for flow in (cpu, gpu)]
            assert_frame_equal(*(pl.read_parquet(p) for p in paths))

    def test_a_saved_workflow_goes_over_to_the_other(
        self, path: Path, tmp_path: Path, other: str
    ) -> None:
        expected, fitted = table(path, CATEGORIES["each kind"](tmp_path / "cpu"), "cpu")
        fitted.save(tmp_path / "saved")
        loaded = Workflow.load(tmp_path / "saved")
        data = open_dataset(path, part_size="40kB", cpu=other == "cpu")
        assert to_table(loaded.transform(data)).equals(expected)


@pytest.mark.parametrize("name", OTHERS)
def test_values_agree(path: Path, tmp_path: Path, other: str, name: str) -> None:
    expected, _ = table(path, OTHERS[name](tmp_path), "cpu")
    found, _ = table(path, OTHERS[name](tmp_path), other)
    if name == "Groupby":
        found, expected = found.sort("small"), expected.sort("small")
    assert_frame_equal(found, expected, check_dtypes=False, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def test_files_are_equal(path: Path, tmp_path: Path, other: str) -> None:
    graph = CATEGORIES["each kind"](tmp_path / "fit") + ["rating"]  # noqa: RUF005
    for device in dict.fromkeys(("cpu", other)):
        data = open_dataset(path, part_size="40kB", cpu=device == "cpu")
        assert write(Workflow(graph).fit(data), data, tmp_path / device) == ROWS
    expected = sorted((tmp_path / "cpu").glob("part_*.parquet"))
    for file in expected:
        assert pl.read_parquet(tmp_path / other / file.name).equals(pl.read_parquet(file))


OUT_OF_MEMORY = """
import sys
import cudf, rmm
from towermill.runtime.device import resolve
resolve("gpu")
import nvtabular as nvt
from towermill.errors import DataError
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow

limit = rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), allocation_limit=2 << 20)
rmm.mr.set_current_device_resource(limit)
cudf.set_option("spill", False)
graph = ["id"] >> nvt.ops.Categorify(out_path=sys.argv[2])
try:
    Workflow(graph).fit(open_dataset(sys.argv[1], cpu=False))
except DataError as error:
    assert "runtime.rmm_pool" in str(error), error
else:
    raise AssertionError("it did fit")
"""


def test_out_of_memory_names_what_to_change(
    tmp_path: Path, other: str, python: Callable[..., Any]
) -> None:
    if other == "cpu":
        pytest.skip("a GPU's memory is wanted")
    file = tmp_path / "many.parquet"
    pl.DataFrame({"id": np.random.default_rng(0).permutation(2_000_000)}).write_parquet(file)
    arguments = f"import sys; sys.argv[1:] = [{str(file)!r}, {str(tmp_path)!r}]\n"
    python(arguments + OUT_OF_MEMORY)
