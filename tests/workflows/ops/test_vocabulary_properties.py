"""Raw values, encoded and looked up again, are the raw values."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.ops import Categorify

NULL, UNKNOWN, FIRST = 1, 2, 3
FEW = settings(max_examples=25, deadline=None, derandomize=True)

#: Text of every script and length, without lone surrogates, which no Parquet file can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
integers = st.integers(-(2**63), 2**63 - 1)


def columns(values: Any) -> Any:
    """Lists with repeated values, and nulls."""
    several = st.lists(values, min_size=1, max_size=8, unique=True).flatmap(
        lambda pool: st.lists(st.one_of(st.none(), st.sampled_from(pool)), min_size=1, max_size=30)
    )
    return several.filter(lambda column: any(value is not None for value in column))


def encoded(column: list[Any], dtype: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return encoded ids, and the vocabulary in their order."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "in.parquet", Path(folder) / "out"
        pl.DataFrame({"x": pl.Series(column, dtype=dtype)}).write_parquet(path, row_group_size=7)
        flow = Workflow(["x"] >> Categorify(out_path=str(out), **options))
        made = flow.fit_transform(open_dataset(path, cpu=True))
        ids = made.to_ddf().compute()["x"].tolist()
        file = flow.output_schema["x"].properties["cat_path"]
        return ids, pl.read_parquet(file)["x"].to_list()


def check(column: list[Any], dtype: Any) -> None:
    ids, vocabulary = encoded(column, dtype)
    counts = Counter(value for value in column if value is not None)
    assert len(vocabulary) == len(set(vocabulary)) == len(counts)
    for value, number in zip(column, ids, strict=True):
        assert (number == NULL) if value is None else (vocabulary[number - FIRST] == value)
        assert number != UNKNOWN
    # By falling frequency, and ties by the value (text by its bytes).
    key = (lambda v: v.encode()) if dtype == pl.String else (lambda v: v)
    assert vocabulary == sorted(counts, key=lambda value: (-counts[value], key(value)))


class TestRoundTrip:
    @given(columns(texts))
    @example(["", "a", None, " ", "a ", "\0", "A"])
    @example(["é", "e\u0301", "1", "01", "1.0"])
    @FEW
    def test_text(self, column: list[Any]) -> None:
        check(column, pl.String)

    @given(columns(integers))
    @example([2**63 - 1, -(2**63), 2**53, 2**53 + 1, None])
    @FEW
    def test_integers(self, column: list[Any]) -> None:
        check(column, pl.Int64)

    @given(columns(st.integers(0, 2**64 - 1)))
    @example([2**64 - 1, 2**63, 0])
    @FEW
    def test_unsigned(self, column: list[Any]) -> None:
        check(column, pl.UInt64)

    @given(columns(st.integers(0, 20)), st.integers(1, 4))
    @FEW
    def test_rare_values_are_unknown(self, column: list[Any], least: int) -> None:
        ids, vocabulary = encoded(column, pl.Int64, freq_threshold=least)
        counts = Counter(column)
        assert set(vocabulary) == {
            value for value in counts if value is not None and counts[value] >= least
        }
        for value, number in zip(column, ids, strict=True):
            if value is None:
                assert number == NULL
            elif counts[value] < least:
                assert number == UNKNOWN
            else:
                assert vocabulary[number - FIRST] == value
