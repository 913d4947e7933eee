"""Filters, on frames small enough to count by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from towermill.errors import DataError
from towermill.workflows.selecting import deduplicate
from towermill.workflows.selecting.filters import Filters, apply_filters
from towermill.workflows.streaming import partition as partitions
from towermill.workflows.tables import Tables


def make(pairs: list[tuple[Any, Any]], **columns: list[Any]) -> Tables:
    users, items = zip(*pairs, strict=True)
    frame = pl.DataFrame({"user_id": users, "item_id": items, **columns})
    return Tables(
        frame.lazy(),
        items=frame.select(pl.col("item_id").unique().sort()).lazy(),
        users=frame.select(pl.col("user_id").unique().sort()).lazy(),
    )


def rows(tables: Tables, **filters: Any) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory() as scratch:
        out = apply_filters(tables, Filters(**filters), Path(scratch))
        return out.interactions.collect(engine="streaming").rows()


def side(frame: pl.LazyFrame | None) -> list[Any]:
    assert frame is not None
    return frame.collect(engine="streaming").to_series().to_list()


#: User 1 has three rows, 2 two, 3 one; item a three, b two, c one.
PAIRS = [(1, "a"), (2, "a"), (1, "b"), (3, "a"), (2, "c"), (1, "b")]


class TestCounts:
    def test_both_count_the_same_rows(self) -> None:
        # Without item c user 2 keeps one row only, which a single pass lets stand.
        tables = make(PAIRS)
        assert rows(tables, min_user=2, min_item=2) == [(1, "a"), (2, "a"), (1, "b"), (1, "b")]

    def test_core_repeats(self) -> None:
        # Round 1 takes user 3 and item c; round 2 user 2; round 3 item a: rows (1, b) stay.
        assert rows(make(PAIRS), min_user=2, min_item=2, core=True) == [(1, "b"), (1, "b")]

    def test_one_side(self) -> None:
        assert rows(make(PAIRS), min_user=3) == [(1, "a"), (1, "b"), (1, "b")]
        assert rows(make(PAIRS), min_item=3) == [(1, "a"), (2, "a"), (3, "a")]

    def test_core_holds_on_random_pairs(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        pairs = (rng.beta(1, 2, (2000, 2)) * [97, 83]).astype(int).tolist()
        tables = make([(user, item) for user, item in pairs])
        out = apply_filters(tables, Filters(min_user=12, min_item=15, core=True), tmp_path)
        kept = out.interactions.collect()
        assert 0 < kept.height < 2000
        assert (kept["user_id"].value_counts()["count"] >= 12).all()
        assert (kept["item_id"].value_counts()["count"] >= 15).all()
        # In turns, another order of taking away: the largest core is unique.
        slow, before = tables.interactions.collect(), -1
        while slow.height != before:
            before = slow.height
            slow = slow.filter(pl.len().over("user_id") >= 12)
            slow = slow.filter(pl.len().over("item_id") >= 15)
        assert kept.equals(slow)

    def test_items_and_users_keep_step_in_their_order(self, tmp_path: Path) -> None:
        tables = make(PAIRS)
        out = apply_filters(tables, Filters(min_user=2, min_item=2, core=True), tmp_path)
        assert (side(out.items), side(out.users)) == (["b"], [1])
        assert (side(tables.items), side(tables.users)) == (["a", "b", "c"], [1, 2, 3])

    def test_nothing_set_leaves_all(self, tmp_path: Path) -> None:
        tables = make(PAIRS)
        assert apply_filters(tables, Filters(), tmp_path) is tables


class TestRows:
    def test_min_rating(self) -> None:
        tables = make(PAIRS, rating=[5.0, 3.0, 4.0, None, 1.0, 3.5])
        assert rows(tables, min_rating=3.5) == [(1, "a", 5.0), (1, "b", 4.0), (1, "b", 3.5)]

    def test_nan_is_no_rating(self) -> None:
        tables = make([(1, "a"), (1, "b")], rating=[float("nan"), 4.0])
        assert rows(tables, min_rating=4) == [(1, "b", 4.0)]

    def test_min_signal(self) -> None:
        tables = make(PAIRS, click=[1, 0, 0, 1, 1, 0], dwell=[9, 9, 9, 1, 5, 9])
        found = rows(tables, min_signal={"click": 1, "dwell": 5})
        assert found == [(1, "a", 1, 9), (2, "c", 1, 5)]

    def test_ratings_go_before_counts(self) -> None:
        tables = make(PAIRS, rating=[5.0, 5.0, 1.0, 5.0, 5.0, 1.0])
        assert rows(tables, min_rating=2, min_user=2) == [(2, "a", 5.0), (2, "c", 5.0)]


class TestDeduplicate:
    PAIRS = ((1, "a"), (2, "a"), (1, "a"), (1, "a"), (2, "b"))

    @pytest.mark.parametrize(("which", "kept"), [("first", [1, 2, 4]), ("last", [0, 1, 4])])
    def test_by_time(self, which: str, kept: list[int]) -> None:
        # Of user 1's item a, row 2 is the earliest and row 0 the latest.
        tables = make(list(self.PAIRS), timestamp=[9, 1, 3, 5, 1], row=[0, 1, 2, 3, 4])
        assert [row[-1] for row in rows(tables, deduplicate=which)] == kept

    @pytest.mark.parametrize(("which", "kept"), [("first", [0, 1, 4]), ("last", [1, 3, 4])])
    @pytest.mark.parametrize("times", [{}, {"timestamp": [7] * 5}])
    def test_by_row_order(self, which: str, kept: list[int], times: dict[str, Any]) -> None:
        tables = make(list(self.PAIRS), **times, row=[0, 1, 2, 3, 4])
        assert [row[-1] for row in rows(tables, deduplicate=which)] == kept


class TestSlowly:
    """Beside plain Python, with parts so small that there are several."""

    @pytest.mark.parametrize("which", ["first", "last"])
    @pytest.mark.parametrize("times", [False, True])
    @pytest.mark.parametrize("strings", [False, True])
    def test_deduplicate(
        self, which: str, times: bool, strings: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partitions, "PART_ROWS", 90)
        monkeypatch.setattr(deduplicate, "_CHUNK", 50)
        rng = np.random.default_rng(1)
        pairs = [
            (f"u{user}" if strings else user, f"i{item}" if strings else item)
            for user, item in rng.integers(0, (20, 12), (400, 2)).tolist()
        ]
        rated = [None if rating == 0 else float(rating) for rating in rng.integers(0, 6, 400)]
        columns: dict[str, list[Any]] = {"rating": rated, "row": list(range(400))}
        if times:
            columns["timestamp"] = rng.integers(0, 30, 400).tolist()
        kept: dict[Any, int] = {}
        for row, rating in enumerate(rated):
            if rating is None or rating < 2:
                continue
            at = columns["timestamp"][row] if times else 0
            other = kept.setdefault(pairs[row], row)
            before = columns["timestamp"][other] if times else 0
            if (at < before) if which == "first" else (at >= before):
                kept[pairs[row]] = row
        found = rows(make(pairs, **columns), min_rating=2, deduplicate=which)
        assert [row[3] for row in found] == sorted(kept.values())

    def test_filters_of_rows_in_one_pass(self) -> None:
        rng = np.random.default_rng(2)
        rating, click = rng.integers(0, 6, (2, 200)).tolist()
        rating = [None if value == 5 else value for value in rating]
        tables = make([(0, 0)] * 200, rating=rating, click=click, row=list(range(200)))
        found = rows(tables, min_rating=2, min_signal={"click": 3})
        assert [row[-1] for row in found] == [
            row for row in range(200) if (rating[row] or 0) >= 2 and click[row] >= 3
        ]


class TestErrors:
    @pytest.mark.parametrize(
        ("filters", "message"),
        [
            ({"min_rating": 6}, r"min_rating: 6\).*left 0 of 6"),
            ({"min_rating": 2, "min_signal": {"click": 2}}, r"min_signal: .click: 2.*left 0 of 3"),
            ({"min_user": 9}, r"min_user: 9, min_item: 0\).*left 0 of 6"),
            ({"min_user": 3, "min_item": 3, "core": True}, r"core: true\).*left 0 of 6"),
            ({"min_signal": {"clik": 1}}, "Did you mean 'click'"),
        ],
    )
    def test_nothing_left_names_the_filter(
        self, tmp_path: Path, filters: dict[str, Any], message: str
    ) -> None:
        tables = make(PAIRS, rating=[5, 1, 4, 1, 1, 3], click=[1] * 6)
        with pytest.raises(DataError, match=message):
            apply_filters(tables, Filters(**filters), tmp_path)

    def test_no_rating(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="needs a rating"):
            apply_filters(make(PAIRS), Filters(min_rating=4), tmp_path)

    def test_unknown_key(self) -> None:
        with pytest.raises(ValidationError):
            Filters.model_validate({"min_users": 5})
