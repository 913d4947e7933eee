"""`JoinExternal`: against stock NVTabular, and against joins worked out by hand."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import nvtabular as nvt
import pandas as pd
import pyarrow as pa
import pytest
from merlin.core.dispatch import ExtData
from merlin.io.worker import clean_worker_cache, get_worker_cache
from nvtabular import ops as stock

from towermill.workflows.dataset import open_dataset, to_frame
from towermill.workflows.ops.join_external import _CACHE, JoinExternal

BACKINGS = ("arrow", "numpy")
LEFT: dict[str, list[Any]] = {
    "item": [30, 10, 20, 99, 10, 50, 98],
    "word": ["c", "a", None, "zz", "a", "b", "b"],
    "part": [1.0, math.nan, 2.0, 1.0, 1.0, math.nan, 2.0],
    "x": [0, 1, 2, 3, 4, 5, 6],
}
ITEMS: dict[str, list[Any]] = {
    "item": [10, 20, 30, 40, 50],
    "word": ["a", "b", None, "d", "c"],
    "year": [1990, 1991, 1992, 1993, 1994],
    "price": [0.5, math.nan, 1.5, 2.5, 3.5],
    "sold": [True, False, True, True, False],
    "title": ["one", "two", None, "four", "five"],
}
#: Of items that stand here more than once, or not at all.
COPIES: dict[str, list[Any]] = {
    "item": [10, 30, 10, 40, 10],
    "year": [5, 4, 3, 2, 1],
}


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    yield
    with get_worker_cache(_CACHE) as cache:
        cache.clear()


def frame_of(backing: str, rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    if backing == "arrow":
        return to_frame(pa.Table.from_pandas(frame, preserve_index=False))
    return frame


def transform(op: stock.JoinExternal, frame: pd.DataFrame) -> pd.DataFrame:
    return op.transform(nvt.ColumnSelector(list(frame)), frame)


def plain(frame: pd.DataFrame) -> dict[str, list[Any]]:
    def value(x: Any) -> Any:
        if isinstance(x, list | np.ndarray):
            return [value(y) for y in x]
        return None if pd.isna(x) else x

    return {name: [value(x) for x in frame[name]] for name in frame}


def without(rows: dict[str, Any], *names: str) -> pd.DataFrame:
    return pd.DataFrame(rows).drop(columns=list(names))


CASES: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
    "whole numbers": (without(ITEMS, "word"), {"on": "item"}),
    "text": (without(ITEMS, "item"), {"on": "word"}),
    "duplicates": (pd.DataFrame(COPIES), {"on": "item"}),
    "two keys": (without(ITEMS), {"on": ["item", "word"]}),
    "another name": (without(ITEMS, "word").rename(columns={"item": "id"}), {"on_ext": "id"}),
    "one other name": (
        without(ITEMS).rename(columns={"word": "w"}),
        {"on": ["item", "word"], "on_ext": ["item", "w"]},
    ),
    "floats to whole": (without(ITEMS, "word").astype({"item": float}), {"on": "item"}),
    "nulls": (
        pd.DataFrame({"part": [math.nan, 2.0, 3.0], "year": [7, 8, 9]}),
        {"on": "part"},
    ),
    "nulls twice": (
        pd.DataFrame({"part": [math.nan, 2.0, math.nan], "year": [7, 8, 9]}),
        {"on": "part"},
    ),
    "some columns": (pd.DataFrame(ITEMS), {"columns_ext": ["title", "item"]}),
    "drop duplicates": (
        pd.concat([pd.DataFrame(COPIES)] * 2),
        {"drop_duplicates_ext": True},
    ),
    "drop duplicates of some columns": (
        pd.concat([pd.DataFrame(COPIES)] * 2),
        {"drop_duplicates_ext": True, "columns_ext": ["item"]},
    ),
    "lists": (pd.DataFrame({"item": [10, 20], "tags": [[1, 2], []]}), {"on": "item"}),
    "no rows": (pd.DataFrame(ITEMS)[:0].drop(columns="word"), {"on": "item"}),
    "one name twice": (pd.DataFrame({"item": [10, 20], "x": [1, 2]}), {"on": "item"}),
}


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("how", ["left", "inner"])
class TestAgainstStock:
    @pytest.mark.parametrize("case", CASES)
    def test_same_rows_and_columns(self, backing: str, how: str, case: str) -> None:
        external, arguments = CASES[case]
        arguments = {"on": "item", "how": how, **arguments}
        expected = transform(stock.JoinExternal(external, **arguments), frame_of("numpy", LEFT))
        result = transform(JoinExternal(external, **arguments), frame_of(backing, LEFT))
        assert list(result) == list(expected)
        if how == "inner" and "year" in result:
            # Stock leaves the order of the external rows of one key to an unstable sort.
            assert result["x"].tolist() == expected["x"].tolist()
            result, expected = (
                frame.sort_values(["x", "year"], ignore_index=True) for frame in (result, expected)
            )
        assert plain(result) == plain(expected)
        assert list(result.index) == list(range(len(expected)))
        if backing == "numpy":
            pd.testing.assert_frame_equal(result, expected)

    def test_no_rows_and_one(self, backing: str, how: str) -> None:
        external = without(ITEMS, "word")
        op, expected = (c(external, "item", how) for c in (JoinExternal, stock.JoinExternal))
        for rows in (slice(0, 0), slice(1, 2)):
            result = transform(op, frame_of(backing, LEFT)[rows])
            wanted = transform(expected, frame_of("numpy", LEFT)[rows])
            assert list(result) == list(wanted)
            assert plain(result) == plain(wanted)

    def test_many_shuffled_rows(self, backing: str, how: str) -> None:
        rng = np.random.default_rng(0)
        external = pd.DataFrame({"key": rng.integers(0, 40, 60), "place": np.arange(60)})
        left = {"key": rng.integers(0, 80, 500), "row": np.arange(500)}
        result = transform(JoinExternal(external, "key", how), frame_of(backing, left))
        expected = [
            (row, place)
            for row, key in enumerate(left["key"])
            for place in np.flatnonzero(external["key"] == key).tolist()
            or ([None] if how == "left" else [])
        ]
        got = plain(result)
        assert list(zip(got["row"], got["place"], strict=True)) == expected

    def test_leaves_its_input_alone(self, backing: str, how: str) -> None:
        frame = frame_of(backing, LEFT).set_axis([7, 6, 5, 4, 3, 2, 1])
        before = frame.copy(deep=True)
        result = transform(JoinExternal(pd.DataFrame(COPIES), "item", how), frame)
        pd.testing.assert_frame_equal(frame, before)
        assert list(result.index) == list(range(len(result)))

    def test_types_that_cannot_be_equal(self, backing: str, how: str) -> None:
        external = pd.DataFrame({"item": ["10"], "year": [1]})
        with pytest.raises(TypeError, match=r"'item', to join on them; found Int64 and String"):
            transform(JoinExternal(external, "item", how), frame_of(backing, LEFT))


class TestTypes:
    def test_arrow_keys_bring_arrow_columns(self) -> None:
        result = transform(JoinExternal(without(ITEMS, "word"), "item"), frame_of("arrow", LEFT))
        assert result["year"].dtype == pd.ArrowDtype(pa.int64())
        assert result["title"].dtype == pd.ArrowDtype(pa.string())
        assert result["sold"].dtype == pd.ArrowDtype(pa.bool_())
        assert result["price"].dtype == np.float64
        assert plain(result)["year"] == [1992, 1990, 1991, None, 1990, 1994, None]

    def test_big_whole_numbers_with_a_null(self, tmp_path: Path) -> None:
        big = 2**53 + 1
        external = pd.DataFrame(
            {"item": pd.array([big, None], "Int64"), "next": pd.array([big, None], "Int64")}
        )
        external.to_parquet(tmp_path / "items.parquet")
        left = to_frame(pa.table({"item": [big - 1, big, None]}))
        result = transform(JoinExternal(open_dataset(tmp_path / "items.parquet"), "item"), left)
        assert plain(result)["next"] == [None, big, None]

    def test_a_fraction_is_no_whole_number(self) -> None:
        external = pd.DataFrame({"key": [1, 2], "x": [10, 20]})
        left = pd.DataFrame({"key": [1.5, 2.0, math.nan]})
        assert plain(transform(JoinExternal(external, "key"), left))["x"] == [None, 20, None]


class TestTable:
    @pytest.mark.parametrize("cache", ["host", "device", "disk"])
    def test_is_read_once(
        self, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "items.parquet"
        pd.DataFrame(COPIES).to_parquet(path)
        op = JoinExternal(nvt.Dataset(str(path)), "item", cache=cache, kind_ext=ExtData.PARQUET)
        reads = []
        read = JoinExternal._read
        monkeypatch.setattr(JoinExternal, "_read", lambda *a, **k: reads.append(1) or read(*a, **k))
        for _ in range(3):
            # As a worker of Dask's has it for each task.
            transform(pickle.loads(pickle.dumps(op)), frame_of("arrow", LEFT))
        assert len(reads) == (3 if cache == "disk" else 1)

    def test_is_read_again_once_it_is_written_again(self, tmp_path: Path) -> None:
        path = tmp_path / "items.parquet"
        for year in (1, 2):
            pd.DataFrame({"item": [10, 30, 20, 40][: year + 2], "year": year}).to_parquet(path)
            for external in (nvt.Dataset(str(path)), open_dataset(path)):
                result = transform(JoinExternal(external, "item"), frame_of("arrow", LEFT))
                assert result["year"][0] == year

    def test_another_choice_of_columns_is_another_table(self) -> None:
        data = nvt.Dataset(without(ITEMS, "word"))
        for names in (["item", "year"], ["item", "price"]):
            op = JoinExternal(data, "item", columns_ext=names)
            assert list(transform(op, frame_of("arrow", LEFT)))[-1] == names[1]

    def test_is_not_pickled_nor_copied(self) -> None:
        # Of one name with another column: stock does it, and keeps the table in the operator.
        op = JoinExternal(pd.DataFrame({"item": [10], "x": [1]}), "item")
        transform(op, frame_of("numpy", LEFT))
        assert op._ext_cache is not None
        assert pickle.loads(pickle.dumps(op))._ext_cache is None
        assert copy.deepcopy(op)._ext_cache is None

    def test_columns_are_known_unread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        op = JoinExternal(pd.DataFrame(COPIES), "item")
        expected = stock.JoinExternal(pd.DataFrame(COPIES), "item")
        selector = nvt.ColumnSelector(list(LEFT))
        assert op.column_mapping(selector) == expected.column_mapping(selector)
        assert op._ext_cache is None

    def test_of_several_partitions(self) -> None:
        external = nvt.Dataset(pd.DataFrame(COPIES), npartitions=3)
        op = JoinExternal(external, "item", drop_duplicates_ext=True)
        result = plain(transform(op, frame_of("arrow", LEFT)))
        assert result["year"] == [4, 5, 3, 1, None, None, 5, 3, 1, None, None]


def test_workflow_on_the_device(device: str) -> None:
    data = nvt.Dataset(without(LEFT, "word", "part"), cpu=device == "cpu")
    external = nvt.Dataset(pd.DataFrame(COPIES), cpu=device == "cpu")
    clean_worker_cache()
    graph = ["item", "x"] >> JoinExternal(external, "item", how="left")
    result = nvt.Workflow(graph).fit_transform(data).compute()
    result = result if device == "cpu" else result.to_pandas()
    assert result["x"].tolist() == [0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 6]
    assert sorted(result["year"].dropna()) == [1, 1, 3, 3, 4, 5, 5]
