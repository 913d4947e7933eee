"""Workflows that pass between Towermill and stock NVTabular, and the filter that goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import nvtabular as nvt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nvtabular import ops as stock

from towermill.workflows import ops
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow

COLUMNS = ("big", "number", "text", "nothing", "words", "numbers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six partitions, one of them empty, one of a single row."""
    rng = np.random.default_rng(3)
    n = 900
    texts = ["", "æøå", "日本", "a", "ü" * 5, "z"]
    table = pa.table(
        {
            "big": pa.array(2**53 + rng.zipf(1.5, n) % 60 + rng.integers(0, 2, n), pa.int64()),
            "number": pa.array(
                [None if i % 7 == 0 else int(x) for i, x in enumerate(rng.zipf(1.4, n) % 200)]
            ),
            "text": [
                None if i % 11 == 0 else texts[x] for i, x in enumerate(rng.integers(0, 6, n))
            ],
            "nothing": pa.array([None] * n, pa.string()),
            "words": [[f"w{j}" for j in rng.integers(0, 30, k)] for k in rng.integers(0, 4, n)],
            "numbers": [[int(j) for j in rng.zipf(1.6, k) % 50] for k in rng.integers(0, 4, n)],
        }
    )
    path = tmp_path_factory.mktemp("interop")
    for name, start, length in (("a", 0, 500), ("b", 500, 0), ("c", 500, 1), ("d", 501, 399)):
        pq.write_table(table.slice(start, length), path / f"{name}.parquet", row_group_size=200)
    return path


def stock_dataset(folder: Path, device: str) -> Any:
    files = [str(path) for path in sorted(folder.glob("*.parquet"))]
    return nvt.Dataset(files, engine="parquet", row_groups_per_part=1, cpu=device == "cpu")


def our_dataset(folder: Path, device: str) -> Any:
    return open_dataset(folder, part_size="1B", cpu=device == "cpu")


def rows(data: Any) -> dict[str, list[Any]]:
    frame = data.to_ddf().compute()
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    return {
        name: [list(v) if hasattr(v, "__len__") else v for v in frame[name]] for name in COLUMNS
    }


def graph(tmp_path: Path) -> Any:
    encoded = list(COLUMNS) >> stock.Categorify(out_path=str(tmp_path / "fit"))
    return encoded >> stock.AddMetadata(tags=["user"])


class TestPassedOn:
    """Fitted by one, saved, loaded and applied by the other: the same ids."""

    def test_from_ours_to_stock(self, folder: Path, tmp_path: Path, device: str) -> None:
        ours = Workflow(graph(tmp_path)).fit(our_dataset(folder, device))
        ours.save(tmp_path / "saved")
        loaded = nvt.Workflow.load(str(tmp_path / "saved"))
        assert type(loaded) is nvt.Workflow
        assert rows(loaded.transform(stock_dataset(folder, device))) == rows(
            ours.transform(our_dataset(folder, device))
        )

    def test_from_stock_to_ours(self, folder: Path, tmp_path: Path, device: str) -> None:
        theirs = nvt.Workflow(graph(tmp_path)).fit(stock_dataset(folder, device))
        theirs.save(str(tmp_path / "saved"))
        expected = rows(theirs.transform(stock_dataset(folder, device)))
        loaded = Workflow.load(tmp_path / "saved")
        assert rows(loaded.transform(our_dataset(folder, device))) == expected
        assert rows(loaded.transform(stock_dataset(folder, device))) == expected

    def test_saved_without_a_word_of_ours(self, folder: Path, tmp_path: Path, device: str) -> None:
        ours = Workflow(graph(tmp_path)).fit(our_dataset(folder, device))
        ours.save(tmp_path / "saved")
        assert b"towermill" not in (tmp_path / "saved" / "workflow.pkl").read_bytes().replace(
            str(tmp_path).encode(), b""
        )
        # And the one at hand is still ours.
        assert isinstance(ours.output_node.parents[0].op, ops.Categorify)

    def test_loaded_elsewhere(self, folder: Path, tmp_path: Path, device: str) -> None:
        ours = Workflow(graph(tmp_path)).fit(our_dataset(folder, device))
        expected = rows(ours.transform(our_dataset(folder, device)))
        ours.save(tmp_path / "saved")
        (tmp_path / "saved").rename(tmp_path / "moved")
        assert (
            rows(Workflow.load(tmp_path / "moved").transform(our_dataset(folder, device)))
            == expected
        )


class Positive:
    """Keeps rows with a positive number; says what it reads."""

    columns = ("number",)

    def __call__(self, frame: Any) -> Any:
        return frame["number"] > 0


class TestRowFilter:
    def test_known_columns_that_pass(self, tmp_path: Path) -> None:
        node = (["text"] >> stock.Categorify(out_path=str(tmp_path))) + ["number"]
        workflow = Workflow(node >> stock.Filter(Positive()))
        workflow.fit_schema(open_schema())
        assert isinstance(workflow.row_filter, ops.Filter)

    def test_not_if_a_column_is_changed(self, tmp_path: Path) -> None:
        node = ["text", "number"] >> stock.Categorify(out_path=str(tmp_path))
        workflow = Workflow(node >> stock.Filter(Positive()))
        workflow.fit_schema(open_schema())
        assert workflow.row_filter is None

    def test_not_if_it_does_not_say(self) -> None:
        workflow = Workflow(["text", "number"] >> stock.Filter(positive))
        workflow.fit_schema(open_schema())
        assert workflow.row_filter is None

    def test_mask_with_nulls(self) -> None:
        frame = pd.DataFrame({"number": pd.array([1, None, 0, 2], pd.ArrowDtype(pa.int64()))})
        kept = ops.Filter(Positive()).transform(None, frame)
        assert kept["number"].tolist() == [1, 2]
        assert kept.index.tolist() == [0, 1]

    def test_no_mask(self) -> None:
        with pytest.raises(ValueError, match=r"mask of Booleans. Received: Series int64"):
            ops.Filter(numbers).transform(None, pd.DataFrame({"number": [1, 2]}))


def positive(frame: Any) -> Any:
    return frame["number"] > 0


def numbers(frame: Any) -> Any:
    return frame["number"]


def open_schema() -> Any:
    from merlin.schema import ColumnSchema, Schema

    return Schema([ColumnSchema("text"), ColumnSchema("number")])


class TestOtherOperators:
    """What is not known to take Arrow columns gets NumPy's; what looks across rows keeps them."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        table = pa.table(
            {
                "item": [1, 2, 1, 3, 2, 1],
                "number": pa.array([3, None, 5, 1, 0, 2], pa.int64()),
                "text": ["a", "b", None, "a", "b", "c"],
            }
        )
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=3)
        return tmp_path / "in.parquet"

    @pytest.mark.parametrize(
        "graph",
        [
            ["number"] >> stock.FillMissing(0) >> stock.DifferenceLag("item", shift=1),
            ["item"] >> stock.TargetEncoding("number", kfold=1, p_smooth=5),
            ["item", "text"] >> stock.HashBucket(7),
            ["number"] >> stock.NormalizeMinMax(),
            ["number"] >> stock.LogOp() >> stock.FillMissing(0.5),
        ],
        ids=["difference", "target", "hash", "range", "log"],
    )
    def test_as_stock(self, path: Path, graph: Any) -> None:
        theirs = nvt.Workflow(graph)
        expected = theirs.fit_transform(nvt.Dataset(str(path), engine="parquet", cpu=True))
        ours = Workflow(graph)
        found = ours.fit_transform(open_dataset(path, cpu=True)).to_ddf().compute()
        expected = expected.to_ddf().compute()
        for name in expected.columns:
            a, b = found[name].to_numpy(float), expected[name].to_numpy(float)
            np.testing.assert_allclose(a, b, rtol=1e-6)

    def test_filter_stays_behind_what_looks_across_rows(self, path: Path) -> None:
        lag = ["number"] >> stock.FillMissing(0) >> stock.DifferenceLag("item", shift=1)
        workflow = Workflow(lag + ["item"] >> stock.Filter(Known()))  # noqa: RUF005
        workflow.fit(open_dataset(path, cpu=True))
        assert workflow.row_filter is None


class Known:
    """Keeps rows of item 1; says what it reads."""

    columns = ("item",)

    def __call__(self, frame: Any) -> Any:
        return frame["item"] == 1
