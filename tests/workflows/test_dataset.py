"""Partitions of row groups, as Arrow columns, with the schema of the files."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from towermill.errors import DataError
from towermill.workflows import dataset
from towermill.workflows.dataset import open_dataset, plan_parts

BIG = 2**53 + 1


@pytest.fixture
def table() -> pa.Table:
    n = 100
    return pa.table(
        {
            "id": pa.array([None if i == 50 else BIG + i for i in range(n)], pa.int64()),
            "text": [f"t{i}" for i in range(n)],
            "real": [float(i) for i in range(n)],
            "at": pa.array([1_000_000 * i for i in range(n)], pa.timestamp("us")),
            "list": pa.array(
                [None if i == 0 else [i] * (i % 3) for i in range(n)], pa.list_(pa.int32())
            ),
        }
    )


@pytest.fixture
def path(table: pa.Table, tmp_path: Path) -> Path:
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    return tmp_path / "a.parquet"


class TestParts:
    def test_a_row_group_each(self, path: Path) -> None:
        parts = plan_parts([str(path)], 1)
        assert [part.row_groups for part in parts] == [(i,) for i in range(10)]
        assert [part.rows for part in parts] == [10] * 10

    def test_gathered_up_to_a_size(self, path: Path) -> None:
        one = plan_parts([str(path)], 1)[5].nbytes
        parts = plan_parts([str(path)], int(3.5 * one))
        assert sum((part.row_groups for part in parts), ()) == tuple(range(10))
        assert max(len(part.row_groups) for part in parts) == 3

    def test_size_counts_the_values_of_lists(self, tmp_path: Path) -> None:
        table = pa.table({"list": pa.array([[7] * 500] * 20, pa.list_(pa.int64()))})
        pq.write_table(table, tmp_path / "lists.parquet")
        (part,) = plan_parts([str(tmp_path / "lists.parquet")], 1 << 30)
        assert part.nbytes == 20 * 500 * 8  # which dictionary and compression make far smaller

    def test_empty_file_is_a_part(self, table: pa.Table, tmp_path: Path) -> None:
        pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
        (part,) = plan_parts([str(tmp_path / "empty.parquet")], 1)
        assert part.rows == 0
        assert part.read().columns.tolist() == table.column_names

    def test_other_columns(self, path: Path, tmp_path: Path) -> None:
        pq.write_table(pa.table({"id": ["text"]}), tmp_path / "b.parquet")
        with pytest.raises(DataError, match=r"columns of .*a.parquet in every file; .*b.parquet"):
            open_dataset(tmp_path, cpu=True)

    def test_no_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_text("no")
        with pytest.raises(DataError, match="Expected a Parquet file"):
            open_dataset(tmp_path, cpu=True)
        with pytest.raises(DataError, match="found none"):
            open_dataset(tmp_path / "b.parquet", cpu=True)
        with pytest.raises(DataError, match="found none"):
            open_dataset(tmp_path.parent / "nowhere", cpu=True)


class TestColumns:
    def test_values_and_types(self, path: Path, table: pa.Table) -> None:
        frame = open_dataset(path, part_size="1B", cpu=True).to_ddf().compute()
        assert frame["id"].dtype == pd.ArrowDtype(pa.int64())
        assert frame["id"][frame["id"].notna()].tolist() == [BIG + i for i in range(100) if i != 50]
        assert frame["real"].dtype == "float64"
        assert frame["at"].dtype == "datetime64[us]"
        assert frame["text"].tolist() == table["text"].to_pylist()
        lists = frame["list"].array.__arrow_array__().to_pylist()
        assert lists == table["list"].to_pylist()

    def test_only_what_is_asked_for_is_read(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        read = pq.ParquetFile.read_row_groups

        def spy(self: Any, groups: Any, columns: Any = None, **options: Any) -> Any:
            asked.append(columns)
            return read(self, groups, columns=columns, **options)

        monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
        data = open_dataset(path, part_size="1B", cpu=True)
        data.to_ddf(columns=["real"]).compute(scheduler="synchronous")
        assert asked == [["real"]] * 10

    def test_schema_of_the_files(self, path: Path) -> None:
        schema = open_dataset(path, cpu=True).schema
        assert schema.column_names == ["id", "text", "real", "at", "list"]
        assert schema["id"].dtype.name == "int64"
        assert schema["text"].dtype.name == "str"
        assert [column.is_list for column in schema] == [False] * 4 + [True]
        assert schema["list"].dtype.name == "int32"

    def test_structs_are_no_columns_of_the_schema(self, tmp_path: Path) -> None:
        table = pa.table({"a": [1, 2], "s": [{"x": 1}, {"x": 2}]})
        pq.write_table(table, tmp_path / "s.parquet")
        data = open_dataset(tmp_path / "s.parquet", cpu=True)
        assert data.schema.column_names == ["a"]
        assert data.to_ddf(columns=["a"]).compute()["a"].tolist() == [1, 2]


class TestOnGPU:
    """What cuDF is asked for; a pandas reader stands in for it."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []

        def read_parquet(path: str, columns: Any, row_groups: Any, **options: Any) -> Any:
            told.append({"row_groups": row_groups, **options})
            with pq.ParquetFile(path) as file:
                found = file.read_row_groups(row_groups, columns=columns).to_pandas()
            return found[sorted(found.columns)]  # in an order of its own

        frame = types.SimpleNamespace(from_arrow=lambda table: table.to_pandas())
        cudf = types.SimpleNamespace(read_parquet=read_parquet, DataFrame=frame)
        monkeypatch.setattr(dataset, "cudf", cudf)
        return told

    def test_row_groups_and_columns_of_the_part(self, path: Path, asked: Any) -> None:
        part = plan_parts([str(path)], 1)[3]
        found = dataset.read_part_on_gpu(part, ["text", "id"])
        assert list(found) == ["text", "id"]
        assert found["text"].tolist() == part.read(["text"])["text"].tolist()
        assert asked == [{"row_groups": [3], "use_pandas_metadata": False}]
        assert len(dataset.read_part_on_gpu(part).columns) == 5

    def test_an_empty_part_has_its_columns(self, path: Path, asked: Any) -> None:
        none = dataset.Part(str(path), (), 0, 0)
        assert list(none.read_on_gpu(["real", "id"])) == ["real", "id"]
        assert list(none.read_on_gpu()) == ["id", "text", "real", "at", "list"]
        assert asked == []

    def test_a_gpu_that_is_full(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: Any, **options: Any) -> None:
            raise MemoryError("std::bad_alloc: out_of_memory")

        monkeypatch.setattr(dataset, "cudf", types.SimpleNamespace(read_parquet=fail))
        (part, *_) = plan_parts([str(path)], 1)
        with pytest.raises(
            DataError, match=r"hold a part of the data \(10 rows\).*runtime.rmm_pool"
        ):
            part.read_on_gpu()
