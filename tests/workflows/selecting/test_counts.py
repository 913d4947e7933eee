"""How many rows and users a split drops, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.processed import SplitCounts
from towermill.workflows.selecting.filters import Filters, apply_filters
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.tables import Tables

#: In test: user 2 is known; 7 and 8 are new; item 9 is new.
FRAME = pl.DataFrame(
    {
        "user_id": [1, 2, 2, 7, 7, 8, 2],
        "item_id": [5, 5, 5, 5, 9, 5, 9],
        "rating": [1.0, 1.0, 5.0, 5.0, 5.0, 1.0, 5.0],
        "split": ["train"] * 2 + ["test"] * 5,
    }
)


def run(scratch: Path, **config: Any) -> tuple[SplitCounts, dict[str, int]]:
    found = split(FRAME.lazy(), Split(kind="given", **config), scratch)
    part = found.parts["test"].collect()
    assert (found.counts["test"].rows, found.counts["test"].users) == (
        part.height,
        part["user_id"].n_unique(),
    )
    assert found.counts["train"] == SplitCounts(assigned_rows=2, assigned_users=2, rows=2, users=2)
    return found.counts["test"], found.dropped.get("test", {})


class TestSplits:
    def test_a_row_counts_for_one_reason(self, tmp_path: Path) -> None:
        counts, dropped = run(tmp_path)
        assert dropped == {"user without training rows": 3, "item without training rows": 1}
        assert (counts.assigned_rows, counts.assigned_users) == (5, 3)
        assert (counts.rows, counts.users) == (1, 1)
        assert (counts.cold_users, counts.cold_items) == (3, 1)

    def test_signals(self, tmp_path: Path) -> None:
        counts, dropped = run(tmp_path, min_signal={"rating": 4})
        assert dropped == {
            "left out by `split.min_signal`": 1,
            "user without training rows": 2,
            "item without training rows": 1,
        }
        assert counts.rows + sum(dropped.values()) == counts.assigned_rows

    @pytest.mark.parametrize("cold", ["keep", "flag"])
    def test_cold_rows_that_stay(self, cold: str, tmp_path: Path) -> None:
        counts, dropped = run(tmp_path, cold=cold)
        assert dropped == {}
        assert (counts.rows, counts.users, counts.cold_users, counts.cold_items) == (5, 3, 3, 1)


def test_filters(tmp_path: Path) -> None:
    pairs = [(1, 1, 5.0), (1, 1, 4.0), (1, 2, 5.0), (2, 1, 5.0), (2, 2, None), (3, 1, 1.0)]
    frame = pl.DataFrame(pairs, schema=["user_id", "item_id", "rating"], orient="row").lazy()
    filters = Filters(min_rating=2, deduplicate="first", min_user=2)
    out = apply_filters(Tables(frame), filters, tmp_path)
    assert out.interactions.collect().height == 2
    assert out.dropped == {
        "filters": {"min_rating: 2": 2, "deduplicate": 1, "min_user: 2, min_item: 0": 1}
    }
