"""What a workflow writes: rows in order, files of a size, and what stands beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nvtabular as nvt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from merlin.io import Dataset
from nvtabular import ops as stock

from towermill.errors import DataError
from towermill.workflows.dataset import Part, open_dataset
from towermill.workflows.graph import write as writing
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import write
from towermill.workflows.selecting.signals import AllOf, Condition

ROWS = 1000


class Clicked:
    """Keeps rows with a click."""

    columns = ("click",)

    def __call__(self, frame: Any) -> Any:
        return frame["click"] == 1


def clicked(frame: Any) -> Any:
    """Do the same without saying what it reads."""
    return frame["click"] == 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "item": [i % 37 for i in range(ROWS)],
            "tags": [[f"t{j}" for j in range(i % 4)] for i in range(ROWS)],
            "click": [int(i % 10 == 0) for i in range(ROWS)],
            "at": pa.array([1_000_000 * i for i in range(ROWS)], pa.timestamp("us")),
            "unused": [f"{i}" for i in range(ROWS)],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=100)
    return tmp_path / "in.parquet"


def fitted(path: Path, tmp_path: Path, keep: Any = None, cpu: bool = True) -> Workflow:
    encoded = ["item", "tags"] >> stock.Categorify(out_path=str(tmp_path / "fit"), dtype="int32")
    output = encoded + ["click", "at"]  # noqa: RUF005 - the operator of the graph, not of lists
    if keep is not None:
        output = output >> stock.Filter(keep)
    return Workflow(output).fit(open_dataset(path, cpu=cpu))


class TestWrite:
    def test_rows_in_order(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        data = open_dataset(path, "1B", cpu=True)
        assert write(workflow, data, tmp_path / "out") == ROWS
        found = pl.read_parquet(tmp_path / "out" / "*.parquet")
        raw = pl.read_parquet(path)
        assert found["at"].equals(raw["at"])
        assert found.schema["item"] == pl.Int32
        assert found.schema["tags"] == pl.List(pl.Int32)
        expected = workflow.transform(data).to_ddf().compute()
        assert found["item"].to_list() == expected["item"].tolist()
        assert found["tags"].to_list() == [list(v) for v in expected["tags"]]

    def test_what_stands_beside(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out", file_size="10kB")
        out = tmp_path / "out"
        files = sorted(p.name for p in out.glob("part_*.parquet"))
        assert len(files) > 3
        assert sorted(p.name for p in out.iterdir()) == ["_metadata", *files, "schema.pbtxt"]
        meta = pq.read_metadata(out / "_metadata")
        assert meta.num_rows == ROWS
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        assert sorted({group.column(0).file_path for group in groups}) == files
        assert groups[0].column(0).compression == "ZSTD"
        assert groups[0].column(0).statistics.has_min_max
        assert str(tmp_path) not in (out / "schema.pbtxt").read_text()

    def test_stock_merlin_reads_the_folder(self, path: Path, tmp_path: Path) -> None:
        write(fitted(path, tmp_path), open_dataset(path, "1B", cpu=True), tmp_path / "out", "10kB")
        data = Dataset(str(tmp_path / "out"), engine="parquet", cpu=True)
        assert data.schema["item"].int_domain.max == 2 + 37
        frame = data.to_ddf().compute()
        assert len(frame) == ROWS
        assert frame["tags"].map(len).tolist() == [i % 4 for i in range(ROWS)]

    def test_same_bytes_again(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        for name in ("a", "b"):
            write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / name, "10kB")
        for file in (tmp_path / "a").iterdir():
            assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()

    def test_only_what_is_used_is_read(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workflow = fitted(path, tmp_path)
        asked: list[Any] = []
        read = Part.read

        def spy(self: Part, columns: Any = None) -> Any:
            asked.append(set(columns))
            return read(self, columns)

        monkeypatch.setattr(Part, "read", spy)
        write(workflow, open_dataset(path, cpu=True), tmp_path / "out")
        assert asked == [{"item", "tags", "click", "at"}]

    def test_small_pieces_make_whole_row_groups(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writing, "ROW_GROUP", 250)
        write(fitted(path, tmp_path), open_dataset(path, "1B", cpu=True), tmp_path / "out")
        meta = pq.read_metadata(tmp_path / "out" / "part_00000.parquet")
        assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [250, 50] * 3 + [
            100
        ]


class TestFilter:
    @pytest.mark.parametrize("keep", [Clicked(), clicked])
    def test_same_rows_first_or_last(self, path: Path, tmp_path: Path, keep: Any) -> None:
        workflow = fitted(path, tmp_path, keep)
        assert write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out") == ROWS // 10
        found = pl.read_parquet(tmp_path / "out" / "*.parquet")
        # The vocabulary is of all rows: 37 items, of which 10 rows out of a hundred are left.
        assert workflow.output_schema["item"].int_domain.max == 2 + 37
        everything = fitted(path, tmp_path)
        write(everything, open_dataset(path, cpu=True), tmp_path / "all")
        kept = pl.read_parquet(tmp_path / "all" / "*.parquet").filter(pl.col("click") == 1)
        assert found.equals(kept)

    def test_row_groups_without_a_wanted_row_are_not_read(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clicks = pa.array([int(250 <= i < 420) if i % 3 else None for i in range(ROWS)])
        pq.write_table(pq.read_table(path).set_column(2, "click", clicks), path, row_group_size=100)
        workflow = fitted(path, tmp_path, AllOf((Condition("click", 1),)))
        asked: list[int] = []
        read = pq.ParquetFile.read_row_groups

        def spy(self: Any, groups: Any, **options: Any) -> Any:
            asked.extend(groups)
            return read(self, groups, **options)

        monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
        rows = write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out")
        assert rows == sum(clicks.drop_null().to_pylist())
        assert asked == [2, 3, 4]

    def test_nothing_is_left(self, path: Path, tmp_path: Path) -> None:
        table = pq.read_table(path).set_column(2, "click", pa.array([0] * ROWS))
        pq.write_table(table, path, row_group_size=100)
        workflow = fitted(path, tmp_path, Clicked())
        assert write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out", "10kB") == 0
        found = pl.read_parquet(tmp_path / "out" / "*.parquet")
        assert found.schema["tags"] == pl.List(pl.Int32)
        assert found.is_empty()


def test_stock_workflow_writes_the_same(path: Path, tmp_path: Path, device: str) -> None:
    cpu = device == "cpu"
    write(fitted(path, tmp_path, cpu=cpu), open_dataset(path, cpu=cpu), tmp_path / "ours")
    op = stock.Categorify(out_path=str(tmp_path / "stock"), dtype="int32")
    graph = (["item", "tags"] >> op) + ["click", "at"]
    data = nvt.Dataset(str(path), engine="parquet", cpu=cpu)
    nvt.Workflow(graph).fit_transform(data).to_parquet(str(tmp_path / "out"))
    ours = pl.read_parquet(tmp_path / "ours" / "*.parquet")
    theirs = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert ours["tags"].to_list() == theirs["tags"].to_list()
    # 37 items, 27 or 28 rows each: ties, so equal as far as a renaming goes.
    pairs = set(zip(ours["item"].to_list(), theirs["item"].to_list(), strict=True))
    assert len(pairs) == 37


class TestRefused:
    def test_onto_the_data_itself(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        own = tmp_path / "own"
        own.mkdir()
        path.rename(own / "part_00000.parquet")
        with pytest.raises(DataError, match=r"data set is in .*own\."):
            write(workflow, open_dataset(own, cpu=True), own)
        assert pq.read_metadata(own / "part_00000.parquet").num_rows == ROWS

    def test_without_a_column(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        pq.write_table(pq.read_table(path).drop_columns("tags"), tmp_path / "b.parquet")
        data = open_dataset(tmp_path / "b.parquet", cpu=True)
        with pytest.raises(DataError, match="takes the columns tags, which the data lacks"):
            write(workflow, data, tmp_path / "out")
        with pytest.raises(DataError, match="takes the columns tags"):
            workflow.fit(data)

    def test_not_fitted(self, path: Path, tmp_path: Path) -> None:
        workflow = Workflow(["item"] >> stock.Categorify(out_path=str(tmp_path)))
        with pytest.raises(DataError, match="fitted"):
            write(workflow, open_dataset(path, cpu=True), tmp_path / "out")


class TestAgain:
    def test_what_was_there_goes(self, path: Path, tmp_path: Path) -> None:
        workflow = fitted(path, tmp_path)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "part_mine.parquet").write_bytes(b"mine")
        write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out", "10kB")
        write(workflow, open_dataset(path, cpu=True), tmp_path / "out")
        names = sorted(p.name for p in (tmp_path / "out").glob("*.parquet"))
        assert names == ["part_00000.parquet", "part_mine.parquet"]

    def test_nothing_that_failed_passes_for_whole(self, path: Path, tmp_path: Path) -> None:
        graph = ["at"] >> stock.LambdaOp(late)
        workflow = Workflow(graph).fit(open_dataset(path, "1B", cpu=True))
        with pytest.raises(ArithmeticError):
            write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out")
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["schema.pbtxt"]

    def test_types_do_not_change_between_parts(self, path: Path, tmp_path: Path) -> None:
        table = pd.DataFrame({"item": [float(i) for i in range(30)], "price": range(30)})
        raw = pa.table({"item": [1.0, 2.0, 1.0, 35.0]})
        pq.write_table(raw, path, row_group_size=2)
        workflow = Workflow(["item"] >> stock.JoinExternal(table, on="item"))
        workflow.fit(open_dataset(path, "1B", cpu=True))
        write(workflow, open_dataset(path, "1B", cpu=True), tmp_path / "out", "1B")
        found = pl.read_parquet(tmp_path / "out" / "*.parquet")
        assert found["price"].to_list() == [1, 2, 1, None]


def late(column: Any) -> Any:
    """Fail on all but the first part."""
    if column.max() > pd.Timestamp(150, unit="s"):
        raise ArithmeticError
    return column


def test_frames_that_are_not_arrows(path: Path, tmp_path: Path) -> None:
    workflow = fitted(path, tmp_path)
    data = nvt.Dataset(str(path), engine="parquet", cpu=True)
    assert write(workflow, data, tmp_path / "out") == ROWS
    assert str(tmp_path) not in (tmp_path / "out" / "schema.pbtxt").read_text()
