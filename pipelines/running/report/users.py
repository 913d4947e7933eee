"""Recommendations for some users of a run, beside their latest history."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, USER_ID
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.processed import ProcessedFolder

#: Users shown, recommendations each, and items of the history.
USERS: Final = 10
ITEMS: Final = 6
#: Pairs that a ranker may score for the report.
_PAIRS: Final = 5_000_000


def users(run: RunFiles, bundle: Bundle) -> dict[str, Any] | None:
    """Return users from the most to the least active, with their history and recommendations.

    None of a ranker of so many items that to score them all would take long.
    """
    known = len(bundle.users)
    if not known or (bundle.ranks and USERS * len(bundle.items) > _PAIRS):
        return None
    rows = np.unique(np.linspace(0, known - 1, USERS + 2).astype(int)[1:-1])
    histories = _histories(run, rows)
    asked = [Query(bundle.user(int(row))[USER_ID], ITEMS) for row in rows]
    title = bundle.title or ITEM_ID
    found = []
    for row, answer in zip(rows.tolist(), bundle.answer(asked), strict=True):
        features = bundle.user(row)
        met = histories.get(row)
        ordered = met is not None
        history = bundle.seen(row).tolist() if met is None else met[::-1]
        found.append(
            {
                "id": features.pop(USER_ID),
                "features": {n: v for n, v in features.items() if v is not None},
                "ordered": ordered,
                "length": len(history),
                "history": [_name(bundle.item(item), title) for item in history[:ITEMS]],
                "items": [
                    {
                        "name": _name(item, title),
                        "score": item["score"],
                    }
                    for item in answer.items
                ],
            }
        )
    return {"users": found, "known": known}


def _name(item: dict[str, Any], title: str) -> str:
    return str(item.get(title) or item[ITEM_ID])


def _histories(run: RunFiles, rows: np.ndarray[Any, Any]) -> dict[int, list[int]]:
    """Return the known items of each user's history, by row and oldest first; {} without any."""
    table = pl.scan_parquet(ProcessedFolder(run.path / "process").users)
    if HISTORY not in table.collect_schema():
        return {}
    own = table.select(USER_ID, HISTORY).filter(pl.col(USER_ID).is_in((rows + FIRST_ID).tolist()))
    return {
        user - FIRST_ID: [item - FIRST_ID for item in items or () if item >= FIRST_ID]
        for user, items in own.collect().iter_rows()
    }
