"""Seen items: each known user's known ones, whatever the parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from towermill.workflows.process import seen
from towermill.workflows.process.seen import write_seen


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Users u0 … u19 are 3 … 22, items 0, 2, 4 … 58 are 32 … 3."""
    users = pl.DataFrame({"raw_user_id": [f"u{n}" for n in range(20)]})
    users.with_columns(user_id=pl.int_range(3, 23, dtype=pl.Int32)).write_parquet(
        tmp_path / "users.parquet"
    )
    items = pl.DataFrame({"raw_item_id": range(0, 60, 2)})
    items.with_columns(item_id=pl.int_range(32, 2, -1, dtype=pl.Int32)).write_parquet(
        tmp_path / "items.parquet"
    )
    return tmp_path


class TestSeen:
    @pytest.mark.parametrize("part_rows", [1, 30, 10**6])
    def test_is_that_of_sets(
        self, out: Path, part_rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(seen, "PART_ROWS", part_rows)
        rng = np.random.default_rng(0)
        rows = [(f"u{user}", item) for user, item in rng.integers(0, (25, 60), (400, 2)).tolist()]
        write_seen(pl.DataFrame(rows, ["user_id", "item_id"], orient="row").lazy(), out, out)
        expected: dict[int, set[int]] = {}
        for user, item in rows:
            if int(user[1:]) < 20 and item % 2 == 0:
                expected.setdefault(int(user[1:]) + 3, set()).add(32 - item // 2)
        found = pl.read_parquet(out / "seen.parquet")
        assert dict(found.schema) == {"user_id": pl.Int32, "item_id": pl.List(pl.Int32)}
        assert found.rows() == [(user, sorted(items)) for user, items in sorted(expected.items())]
        assert len(list(out.iterdir())) == 3

    def test_none_known(self, out: Path) -> None:
        write_seen(pl.DataFrame({"user_id": ["u0"], "item_id": [1]}).lazy(), out, out)
        assert pl.read_parquet(out / "seen.parquet").rows() == []
