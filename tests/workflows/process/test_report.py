"""The five lines, and what their numbers are counted from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.processed import Summary
from towermill.workflows.prepare.prepare import prepare
from towermill.workflows.prepare.stats import InteractionStats
from towermill.workflows.report import percent, summary_lines
from towermill.workflows.sources.table import Table

START = datetime(2024, 1, 1)


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "towermill")
    return caplog


def test_prepare_counts_rows_that_reading_drops(
    tmp_path: Path, info: pytest.LogCaptureFixture
) -> None:
    log = ["user_id,item_id,rating", "1,a,5", "1,b,good", "2,a,3,9", ",a,1", "2,b,4", "2,c,4"]
    (tmp_path / "log.csv").write_text("\n".join(log) + "\n")
    (tmp_path / "items.csv").write_text("item_id,price\na,1\nb,cheap\nc,3\n,4\n")
    source = Table(
        interactions={"path": str(tmp_path / "log.csv"), "rating": "rating"},
        items={"path": str(tmp_path / "items.csv"), "features": {"price": "number"}},
        on_bad_row="drop",
        on_null_id="drop",
    )
    (tmp_path / "out").mkdir()
    prepare(source, tmp_path / "out")
    stats = InteractionStats.model_validate_json((tmp_path / "out" / "stats.json").read_text())
    bad = {"wrong number of fields": 1, "unreadable value": 1}
    assert stats.dropped == {
        "interactions": {**bad, "null id": 1},
        "items": {"unreadable value": 1, "null id": 1},
    }
    assert (stats.read, stats.rows) == (6, 3)
    assert stats.matched == {"items": 2 / 3}
    assert info.messages[-1].split("\n") == [
        "prepare: 6 interactions read, 3 kept",
        "  dropped  interactions: 3 (1 wrong number of fields, 1 unreadable value, 1 null id); "
        "items: 2 (1 unreadable value, 1 null id)",
        "  ids      2 users, 3 items",
        "  times    none",
        "  matched  of the interactions, 66.6% in items",
    ]
    assert pl.read_parquet(tmp_path / "out" / "items.parquet")["item_id"].to_list() == ["a", "c"]


class TestProcess:
    """Users of a day each, as in MovieLens: cut by time, hardly a test user is known."""

    LOG = pl.DataFrame(
        [(u, (u + i) % 10, START + timedelta(days=u)) for u in range(20) for i in range(10)]
        # One of the first users comes back.
        + [(0, 1, START + timedelta(days=19))],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))

    def test_most_users_dropped(
        self, mill: Callable[..., Any], info: pytest.LogCaptureFixture
    ) -> None:
        split = {"kind": "time", "validation": 0, "test": 0.1, "cold": "drop"}
        made = mill(self.LOG, split=split)
        (warning,) = [r.getMessage() for r in info.records if r.levelno == logging.WARNING]
        assert "test keeps 1 of 21 rows (4.7%) and 1 of 3 users" in warning
        assert "20 rows were dropped: user without training rows" in warning
        assert "longer training does not help" in warning
        assert "set `split: {kind: leave_one_out}" in warning
        summary = Summary.model_validate(made.stats["summary"])
        assert (summary.read, summary.rows) == (201, 181)
        assert summary.dropped == {"test": {"user without training rows": 20}}
        assert summary.matched == {"test": pytest.approx(1 / 21)}
        assert summary.splits["test"].first == summary.last == START + timedelta(days=19)
        lines = summary_lines("process", summary)
        assert "\n".join(lines) in info.messages
        assert lines[0] == "process: 201 interactions read, 181 kept (train 180, test 1)"
        assert lines[2].endswith("; 1 of 3 test users kept")

    @pytest.mark.parametrize(
        "split", [{"kind": "leave_one_out"}, {"kind": "random", "by": "user"}, {"kind": "random"}]
    )
    def test_the_remedies(
        self, mill: Callable[..., Any], split: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        mill(self.LOG, split={**split, "cold": "drop"})
        assert "WARNING" not in caplog.text

    def test_positive_rows(self, mill: Callable[..., Any]) -> None:
        log = self.LOG.with_columns(pl.lit(1).alias("click"))
        log = log.with_columns(pl.when(pl.col("item_id") > 6).then(0).otherwise(1).alias("click"))
        made = mill(log, split={"kind": "leave_one_out"}, positive={"click": 1})
        dropped = made.stats["summary"]["dropped"]
        rows = made.stats["rows"]
        assert dropped["test"] == {"left out by `features.positive`": 20 - rows["test"]}
        assert sum(rows.values()) + sum(sum(r.values()) for r in dropped.values()) == 201

    def test_new_items(self, mill: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
        frame = pl.DataFrame(
            {
                "user_id": [1, 2, 1, 1, 2],
                "item_id": [1, 2, 8, 9, 1],
                "split": ["train"] * 2 + ["test"] * 3,
            }
        )
        mill(frame, split={"cold": "drop"})
        assert "shorten validation and test" in caplog.text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100%"), (0.99999, "99.9%"), (0.5, "50%"), (0.0, "0%")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
