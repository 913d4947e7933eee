"""Tallies are those of one group_by, whatever the batches."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from towermill.workflows.streaming import group_by as module
from towermill.workflows.streaming.group_by import COUNT, counted, tallies


class TestTallies:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let batches be small and merged often."""
        monkeypatch.setattr(module, "_BATCH", 7)
        monkeypatch.setattr(module, "_PENDING", 10)

    def test_of_two_keys(self) -> None:
        rng = np.random.default_rng(0)
        frame = pl.DataFrame(
            {
                "user": rng.integers(0, 40, 500),
                "item": [None if item == 0 else f"i{item}" for item in rng.integers(0, 9, 500)],
                "value": rng.integers(-99, 99, 500),
            }
        )
        columns = (pl.col(COUNT).sum(), pl.col("value").max())
        found = tallies(counted(frame.lazy()), ["user", "item"], *columns)
        for key, table in zip(["user", "item"], found, strict=True):
            slow = frame.group_by(key).agg(
                pl.len().cast(table[COUNT].dtype).alias(COUNT), pl.col("value").max()
            )
            assert table.sort(key).equals(slow.sort(key))

    def test_no_columns_gives_distinct_values(self) -> None:
        frame = pl.DataFrame({"user": [3, 1, 3, None] * 20})
        (found,) = tallies(frame.lazy(), ["user"])
        assert found.columns == ["user"]
        assert sorted(found["user"].to_list(), key=str) == [1, 3, None]

    def test_no_rows(self) -> None:
        frame = pl.DataFrame(schema={"user": pl.String})
        (found,) = tallies(counted(frame.lazy()), ["user"], pl.col(COUNT).sum())
        assert found.schema == {"user": pl.String, COUNT: pl.UInt32}
        assert found.is_empty()
