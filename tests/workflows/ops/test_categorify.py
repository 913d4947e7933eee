"""Categorify on Arrow and NumPy columns, against stock NVTabular's and against counting by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import nvtabular as nvt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nvtabular import ops as stock

from towermill.runtime.gpu import missing_for_gpu
from towermill.workflows import ops
from towermill.workflows.dataset import open_dataset, to_frame
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.ops.categories.vocabulary import read_vocabulary

PADDING, NULL, UNKNOWN, FIRST = 0, 1, 2, 3


def falling(values: list[Any], least: int = 1) -> list[Any]:
    """Each value one time more often than the next: no ties, so that there is one right order."""
    return [v for i, v in enumerate(values) for _ in range(least + len(values) - i)]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Columns of every kind without ties in frequency, shuffled, with nulls."""
    ids = falling([7, 2**53 + 1, -4, 2**53, 12, 40_000_000, 3])
    words = falling(["straße", "", "日本", "a", "b c", "ü" * 40, "z"])
    n = len(ids)
    rows = pl.DataFrame(
        {
            "id": pl.Series(ids, dtype=pl.Int64),
            "number": pl.Series([i % 1000 for i in falling(list(range(10, 17)))], dtype=pl.Int32),
            "word": words,
            "other": falling(["b c", "z", "q", "日本", "r", "a", "s"]),
            "real": falling([0.5, -1.0, 2.25, 3.0, 4.0, 5.0, 6.0]),
            "flag": [i % 3 == 0 for i in range(n)],
        }
    ).with_columns(
        pl.when(pl.int_range(n) % 5 > 0).then("word").alias("word"),
        pl.when(pl.int_range(n) % 4 > 0).then("number").alias("number"),
        pl.lit(None, pl.String).alias("nothing"),
    )
    rows = pl.concat([rows, rows]).sample(fraction=1, shuffle=True, seed=3)
    lengths = [i % 4 for i in range(rows.height)]
    tokens, article = falling(["x", "y", "", "ω"], 60), falling([9, 4, 5], 60)
    return rows.with_columns(
        pl.Series(
            "words", [[tokens[(7 * i + j) % 246] for j in range(k)] for i, k in enumerate(lengths)]
        ),
        pl.Series(
            "articles",
            [[article[(5 * i + j) % 183] for j in range(k)] for i, k in enumerate(lengths)],
        ),
    ).to_arrow()


@pytest.fixture(params=["arrow", "numpy", pytest.param("gpu", marks=pytest.mark.gpu)])
def backing(request: pytest.FixtureRequest) -> str:
    if request.param == "gpu" and missing_for_gpu():
        pytest.skip(f"needs a CUDA device: {missing_for_gpu()}")
    return str(request.param)


@pytest.fixture
def dataset(backing: str, table: pa.Table, tmp_path: Path) -> Any:
    """Eight partitions."""
    path = tmp_path / "in.parquet"
    pq.write_table(table, path, row_group_size=9)
    if backing == "arrow":
        return open_dataset(path, part_size="1B", cpu=True)
    return stock_dataset(path, cpu=backing != "gpu")


def stock_dataset(path: Path, cpu: bool = True) -> Any:
    return nvt.Dataset(str(path), engine="parquet", row_groups_per_part=1, cpu=cpu)


def rows(frame: Any) -> dict[str, list[Any]]:
    frame = frame.to_ddf().compute() if hasattr(frame, "to_ddf") else frame
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    listed = {name: frame[name].tolist() for name in frame.columns}
    return {
        name: [list(v) if hasattr(v, "__len__") and not isinstance(v, str) else v for v in values]
        for name, values in listed.items()
    }


OPTIONS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "defaults": (["id", "number", "word", "flag", "words", "articles"], {}),
    "floats": (["real"], {}),
    "int32": (["id", "words"], {"dtype": "int32"}),
    "nothing but nulls": (["nothing", "id"], {}),
    "threshold": (["id", "word", "words"], {"freq_threshold": 8}),
    "threshold by column": (["id", "word"], {"freq_threshold": {"id": 12, "word": 5}}),
    "threshold above all": (["id"], {"freq_threshold": 10_000}),
    "size": (["id", "word", "articles"], {"max_size": 5}),
    "size by column": (["id", "word"], {"max_size": {"id": 4, "word": 6}}),
    "buckets": (["id", "word", "words"], {"freq_threshold": 9, "num_buckets": 4}),
    "buckets by column": (
        ["id", "word"],
        {"max_size": {"id": 7, "word": 7}, "num_buckets": {"id": 3, "word": 2}},
    ),
    "joint": ([["word", "other"], "id"], {}),
    "joint with lists": ([["articles", "number"], "words"], {}),
    "joint, buckets": ([["word", "other"]], {"freq_threshold": 8, "num_buckets": 3}),
    "combination": ([["number", "other"], ["word", "other"]], {"encode_type": "combo"}),
    "combination, buckets": (
        [["word", "other"]],
        {"encode_type": "combo", "freq_threshold": 3, "num_buckets": 5},
    ),
    "separator": ([["word", "other"]], {"encode_type": "combo", "name_sep": "|"}),
    "one table": (["id", "word"], {"single_table": True}),
    "uncached": (["id", "word"], {"cat_cache": "disk"}),
    "several files": (["id", "word", "words"], {"split_out": 3}),
}


@pytest.mark.filterwarnings("ignore:Performing a hash", "ignore:You are setting num_buckets")
@pytest.mark.parametrize("name", OPTIONS)
class TestStock:
    """The same ids, schema and files as stock NVTabular's, for every option."""

    def test_same_as_stock(self, name: str, dataset: Any, tmp_path: Path) -> None:
        columns, options = OPTIONS[name]
        theirs = nvt.Workflow(columns >> stock.Categorify(out_path=str(tmp_path / "s"), **options))
        expected = rows(theirs.fit_transform(stock_dataset(tmp_path / "in.parquet", dataset.cpu)))
        ours = Workflow(columns >> stock.Categorify(out_path=str(tmp_path / "o"), **options))
        found = rows(ours.fit_transform(dataset))
        if "combination" in name or name == "separator":  # these have ties
            assert found.keys() == expected.keys()
            for column in found:
                pairs = set(zip(found[column], expected[column], strict=True))
                assert len(pairs) == len(set(found[column])) == len(set(expected[column]))
                assert all(a == b for a, b in pairs if min(a, b) < FIRST)
        else:
            assert found == expected
        for a, b in zip(ours.output_schema, theirs.output_schema, strict=True):
            assert (a.name, a.dtype, a.is_list, a.tags) == (b.name, b.dtype, b.is_list, b.tags)
            assert a.properties["domain"] == b.properties["domain"]
            assert a.properties["embedding_sizes"] == b.properties["embedding_sizes"]

    def test_meta_files(self, name: str, dataset: Any, tmp_path: Path) -> None:
        if name == "separator":
            pytest.skip("stock looks for the counts under another name, and leaves them out")
        columns, options = OPTIONS[name]
        for engine, data, folder in (
            (nvt.Workflow, stock_dataset(tmp_path / "in.parquet", dataset.cpu), "s"),
            (Workflow, dataset, "o"),
        ):
            op = stock.Categorify(out_path=str(tmp_path / folder), **options)
            engine(columns >> op).fit(data)
        for path in (tmp_path / "s" / "categories").glob("meta.*.parquet"):
            ours = pd.read_parquet(tmp_path / "o" / "categories" / path.name)
            pd.testing.assert_frame_equal(ours, pd.read_parquet(path))


class TestCounting:
    def test_ids_by_counting(self, dataset: Any, table: pa.Table, tmp_path: Path) -> None:
        encoded = rows(
            Workflow(["word"] >> ops.Categorify(out_path=str(tmp_path))).fit_transform(dataset)
        )["word"]
        counts = Counter(v for v in table["word"].to_pylist() if v is not None)
        order = sorted(counts, key=lambda v: (-counts[v], v.encode()))
        expected = {None: NULL} | {v: FIRST + i for i, v in enumerate(order)}
        assert encoded == [expected[v] for v in table["word"].to_pylist()]

    @pytest.mark.parametrize("values", [[5, 3, 9, -(2**62), 2**62], ["b", "a", "é", "", "Z"]])
    def test_ties_fall_by_value(self, values: list[Any], tmp_path: Path) -> None:
        for order in (values, values[::-1]):
            frame = pd.DataFrame({"a": order})
            workflow = Workflow(["a"] >> ops.Categorify(out_path=str(tmp_path)))
            found = rows(workflow.fit_transform(nvt.Dataset(frame, cpu=True)))["a"]
            ranks = sorted(values, key=lambda v: v.encode() if isinstance(v, str) else v)
            assert found == [FIRST + ranks.index(v) for v in order]

    def test_dense_ids_beyond_int64(self, tmp_path: Path) -> None:
        """They are counted and looked up as they are, not by their place in a table."""
        table = pa.table({"a": pa.array([2**63 + 2, 2**63, 2**63 + 2, None], pa.uint64())})
        pq.write_table(table, tmp_path / "in.parquet")
        data = open_dataset(tmp_path / "in.parquet", cpu=True)
        workflow = Workflow(["a"] >> ops.Categorify(out_path=str(tmp_path)))
        assert rows(workflow.fit_transform(data))["a"] == [FIRST, FIRST + 1, FIRST, NULL]

    def test_whole_numbers_of_nothing_but_nulls(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"a": pa.array([None] * 3, pa.int64())}), tmp_path / "in.parquet")
        data = open_dataset(tmp_path / "in.parquet", cpu=True)
        workflow = Workflow(["a"] >> ops.Categorify(out_path=str(tmp_path)))
        assert rows(workflow.fit_transform(data))["a"] == [NULL] * 3

    def test_files_do_not_depend_on_partitions(self, table: pa.Table, tmp_path: Path) -> None:
        columns = ["id", ["word", "other"], "words"]
        files = {}
        for size in (9, 40, 1000):
            pq.write_table(table, tmp_path / "in.parquet", row_group_size=size)
            folder = tmp_path / str(size)
            op = ops.Categorify(out_path=str(folder))
            Workflow(columns >> op).fit(open_dataset(tmp_path / "in.parquet", "1B", cpu=True))
            files[size] = {p.name: p.read_bytes() for p in (folder / "categories").iterdir()}
        assert len(files[9]) == 6
        assert files[9] == files[40] == files[1000]


class TestUnknown:
    """What the vocabulary was not fitted on."""

    @pytest.fixture
    def workflow(self, table: pa.Table, tmp_path: Path) -> Workflow:
        pq.write_table(table, tmp_path / "in.parquet")
        graph = ["id", "word", "words"] >> ops.Categorify(out_path=str(tmp_path))
        return Workflow(graph).fit(open_dataset(tmp_path / "in.parquet", cpu=True))

    @pytest.mark.parametrize("backed", ["arrow", "numpy"])
    def test_unknown_null_and_empty(self, workflow: Workflow, table: pa.Table, backed: str) -> None:
        counts = Counter(table["word"].to_pylist())
        del counts[None]
        common = min(counts, key=lambda word: (-counts[word], word.encode()))
        new = pa.table(
            {
                "id": pa.array([7, None, -(2**63), 2**63 - 1, 8], pa.int64()),
                "word": [common, None, "new", "", "Straße"],
                "words": [["x", "new", None], [], None, ["x"], ["x", "x"]],
            }
        )
        frame = to_frame(new) if backed == "arrow" else new.to_pandas()
        found = rows(workflow.transform(frame))
        first = FIRST
        assert found["id"] == [first, NULL, UNKNOWN, UNKNOWN, UNKNOWN]
        assert found["word"] == [first, NULL, UNKNOWN, found["word"][3], UNKNOWN]
        assert found["word"][3] >= first
        # A null within a list is an unknown value, a null list an empty one.
        assert found["words"] == [[first, UNKNOWN, UNKNOWN], [], [], [first], [first, first]]

    def test_input_is_left_alone(self, workflow: Workflow, table: pa.Table) -> None:
        frame = to_frame(table)
        before = frame.copy(deep=True)
        workflow.transform(frame)
        pd.testing.assert_frame_equal(frame, before)

    def test_index_is_kept_out(self, workflow: Workflow, table: pa.Table) -> None:
        frame = to_frame(table)
        assert rows(workflow.transform(frame.iloc[20:40])) == {
            name: values[20:40] for name, values in rows(workflow.transform(frame)).items()
        }

    def test_a_fraction_is_no_id(self, workflow: Workflow) -> None:
        frame = pd.DataFrame({"id": [7.0, 7.5, None], "word": ["a"] * 3, "words": [["x"]] * 3})
        assert rows(workflow.transform(frame))["id"] == [FIRST, UNKNOWN, NULL]

    def test_text_for_numbers(self, workflow: Workflow) -> None:
        frame = pd.DataFrame({"id": ["7"], "word": ["a"], "words": [["x"]]})
        with pytest.raises(RuntimeError, match=r"'id'.*Int64; found String"):
            workflow.transform(frame)


class TestErrors:
    def test_joint_types(self, table: pa.Table, tmp_path: Path) -> None:
        pq.write_table(table, tmp_path / "in.parquet")
        graph = [["word", "articles"]] >> ops.Categorify(out_path=str(tmp_path))
        with pytest.raises(TypeError, match=r"'word_articles'.*Int64 and String"):
            Workflow(graph).fit(open_dataset(tmp_path / "in.parquet", cpu=True))

    def test_mixed_types(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"a": [1, "one"]})
        graph = ["a"] >> ops.Categorify(out_path=str(tmp_path))
        with pytest.raises(TypeError, match="one type in column 'a'"):
            Workflow(graph).fit(nvt.Dataset(frame, cpu=True))

    def test_size_too_small(self, dataset: Any, tmp_path: Path) -> None:
        graph = ["id"] >> ops.Categorify(out_path=str(tmp_path), max_size=2)
        with pytest.raises(ValueError, match=r"'id' should be at least 3.*Received: 2"):
            Workflow(graph).fit(dataset)

    def test_column_in_two_groups(self, dataset: Any, tmp_path: Path) -> None:
        graph = [["word", "other"], "word"] >> ops.Categorify(out_path=str(tmp_path))
        with pytest.raises(ValueError, match=r"one vocabulary.*word"):
            Workflow(graph).fit(dataset)


class TestGivenVocabularies:
    def test_a_folder_of_parts_is_read_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        values = [f"v{number:02}" for number in range(12)]
        folder = tmp_path / "unique.v.parquet"
        folder.mkdir()
        for number, value in enumerate(values):
            pl.DataFrame({"v": [value]}).write_parquet(folder / f"part.{number}.parquet")
        read, first = read_vocabulary(str(folder), ["v"])
        assert read["v"].to_list() == values
        assert first is None

    def test_from_series_and_paths(self, table: pa.Table, tmp_path: Path) -> None:
        given = {"word": pd.Series(["z", "a", "new"])}
        op = ops.Categorify(out_path=str(tmp_path / "a"), vocabs=given)
        frame = to_frame(table)
        pq.write_table(table, tmp_path / "in.parquet")
        data = open_dataset(tmp_path / "in.parquet", cpu=True)
        expected = {None: NULL, "z": 3, "a": 4}
        found = rows(Workflow(["word"] >> op).fit_transform(data))["word"]
        assert found == [expected.get(v, UNKNOWN) for v in table["word"].to_pylist()]
        paths = {"word": op.categories["word"]}
        again = Workflow(["word"] >> ops.Categorify(out_path=str(tmp_path / "b"), vocabs=paths))
        assert rows(again.fit_transform(data))["word"] == found
        assert len(frame) == len(found)
