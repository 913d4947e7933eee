"""Split by session, against a loop over the sessions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.streaming import partition

BEGIN = datetime(2024, 1, 1)


def log(rows: int = 300) -> pl.DataFrame:
    """Sessions of one row to a dozen, of which some begin at one time; rows in no order."""
    rng = np.random.default_rng(3)
    sessions = rng.integers(0, 60, rows)
    minutes = sessions // 2 * 120 + rng.integers(0, 10, rows) * (rng.random(rows) < 0.8)
    return pl.DataFrame(
        {
            "user_id": [f"s{n}" for n in sessions],
            "item_id": rng.integers(0, 12, rows),
            "timestamp": [BEGIN + timedelta(minutes=int(m)) for m in minutes],
            "row": np.arange(rows),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )


def slowly(frame: pl.DataFrame, validation: Any, test: Any) -> dict[str, list[Any]]:
    sessions: dict[str, list[Any]] = {}
    for row in frame.iter_rows(named=True):
        sessions.setdefault(row["user_id"], []).append(row)
    for rows in sessions.values():
        rows.sort(key=lambda row: row["timestamp"])
    starts = sorted(rows[0]["timestamp"] for rows in sessions.values())
    if isinstance(test, date):
        first, last = (datetime(d.year, d.month, d.day) for d in (validation, test))
    else:
        out = [int(share * len(starts) + 1e-9) for share in (validation, test)]
        last = starts[len(starts) - out[1]]
        first = starts[len(starts) - sum(out)]
    found: dict[str, list[Any]] = {"train": [], "validation": [], "test": []}
    for rows in sessions.values():
        start = rows[0]["timestamp"]
        name = "train" if start < first else "validation" if start < last else "test"
        if name == "train":
            found[name] += [(row["row"], None) for row in rows]
        elif len(rows) > 1:
            found[name].append((rows[-1]["row"], [row["item_id"] for row in rows[:-1]]))
    return {name: sorted(rows) for name, rows in found.items() if rows or validation}


@pytest.mark.parametrize(
    ("validation", "test"),
    [(0.1, 0.2), (0.29, 0.3), (0, 0.25), (date(2024, 1, 2), date(2024, 1, 3))],
)
def test_whole_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: Any, test: Any
) -> None:
    monkeypatch.setattr(partition, "PART_ROWS", 40)
    frame = log()
    config = Split(kind="session", validation=validation, test=test, cold="keep")
    found = split(frame.lazy(), config, tmp_path)
    parts = {name: rows.collect() for name, rows in found.parts.items()}
    expected = slowly(frame, validation, test)
    assert {name: sorted(rows.select("row", "history").rows()) for name, rows in parts.items()} == (
        expected
    )
    for name, rows in parts.items():
        assert rows.columns == [*frame.columns, "history"]
        assert rows["row"].is_sorted()
        assert found.counts[name].rows == rows.height


def test_no_session_is_cold_and_items_are(tmp_path: Path) -> None:
    frame = log()
    config: dict[str, Any] = {"kind": "session"}
    last = split(frame.lazy(), Split(**config), tmp_path).parts["test"].collect()["row"][-1]
    new = pl.when(pl.col("row") == last).then(99).otherwise("item_id").alias("item_id")
    kept, dropped = (
        split(frame.with_columns(new).lazy(), Split(**config, cold=cold), tmp_path)
        .parts["test"]
        .collect()
        for cold in ("flag", "drop")
    )
    assert not kept["cold_user"].any()
    assert kept["cold_item"].sum() == 1
    assert kept.filter(~pl.col("cold_item"))["row"].to_list() == dropped["row"].to_list()


def test_min_signal_is_of_the_answer(tmp_path: Path) -> None:
    config = Split(kind="session", min_signal={"row": 150})
    found = split(log().lazy(), config, tmp_path)
    test = found.parts["test"].collect()
    assert test["row"].min() >= 150  # type: ignore[operator]
    assert found.dropped["test"]["left out by `split.min_signal`"] > 0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (log().drop("timestamp"), "`split.kind: session` needs a timestamp"),
        (log().with_columns(timestamp=pl.lit(None, pl.Datetime("us"))), "throughout. Found 300"),
        (log().with_columns(user_id=pl.col("row")), "should leave rows in each split"),
    ],
)
def test_refused(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(frame.lazy(), Split(kind="session"), tmp_path)
