"""Parts of a frame: each row in one, rows of one key together, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.workflows.streaming import partition as partitions
from towermill.workflows.streaming.partition import partitioned, parts_by

FRAME = pl.DataFrame({"key": [row * 7 % 13 for row in range(100)], "row": range(100)})


class TestPartitioned:
    def test_come_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        number = (11 - pl.col("key")).clip(0).cast(pl.UInt32)
        parts = list(partitioned(FRAME.lazy(), number, tmp_path))
        assert [sorted(set(part["key"])) for part in parts] == [
            [11, 12],
            *([key] for key in range(10, -1, -1)),
        ]
        assert all(part.columns == ["key", "row"] for part in parts)
        assert pl.concat(parts).sort("row").equals(FRAME)

    def test_leaves_nothing(self, tmp_path: Path) -> None:
        parts = partitioned(FRAME.lazy(), pl.col("key").cast(pl.UInt32), tmp_path)
        next(parts)
        assert list(tmp_path.iterdir())
        parts.close()
        assert not list(tmp_path.iterdir())

    def test_no_rows(self, tmp_path: Path) -> None:
        assert not list(partitioned(FRAME.limit(0).lazy(), parts_by(0, "key"), tmp_path))


class TestPartsBy:
    @pytest.mark.parametrize("cast", [pl.Int64, pl.String])
    def test_equal_keys_stand_together(
        self, cast: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partitions, "PART_ROWS", 20)
        frame = FRAME.with_columns(pl.col("key").cast(cast), other=pl.col("row") % 2)
        for keys in (["key"], ["key", "other"]):
            parts = list(partitioned(frame.lazy(), parts_by(100, *keys), tmp_path))
            assert 1 < len(parts) <= 5
            distinct = [part.select(keys).unique() for part in parts]
            assert pl.concat(distinct).is_unique().all()
