"""The statistics of a processed folder: written, read back, and refused."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.processed import ProcessedFolder, Stats, TextStats

WHOLE = Stats(
    rows={"train": 4, "test": 2, "replayed": 1},
    users=2,
    items=3,
    title="title",
    vocabularies={"user_id": 5},
    as_of=datetime(2024, 1, 2, 3, 4, 5, 678),
    columns={"item": {"title": Feature(kind="title"), "year": Feature(kind="number", log=True)}},
    text=TextStats(tokens=9, word_dim=3, without_text=1, mean_length=2.5),
)


@pytest.mark.parametrize("stats", [WHOLE, Stats(rows={}, users=0, items=0)])
def test_written_and_read(stats: Stats, tmp_path: Path) -> None:
    stats.write(ProcessedFolder(tmp_path))
    assert Stats.read(ProcessedFolder(tmp_path)) == stats


def test_order_of_features_stays(tmp_path: Path) -> None:
    WHOLE.write(ProcessedFolder(tmp_path))
    assert list(Stats.read(ProcessedFolder(tmp_path)).columns["item"]) == ["title", "year"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"version": 3}, "version 3"),
        ({"version": None}, "older Towermill"),
        ({"users": "many"}, "users"),
        ({"speed": 3}, "speed"),
    ],
)
def test_another_content(changes: dict[str, Any], found: str, tmp_path: Path) -> None:
    file = ProcessedFolder(tmp_path).stats
    file.write_text(json.dumps({**WHOLE.model_dump(mode="json"), **changes}))
    with pytest.raises(DataError, match=rf"(?s)statistics of version 2.*{found}.*stage again"):
        Stats.read(ProcessedFolder(tmp_path))


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3"])
def test_unreadable(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        ProcessedFolder(tmp_path).stats.write_text(text)
    with pytest.raises(DataError, match=r"(?s)Expected statistics.*Run the `process` stage again"):
        Stats.read(ProcessedFolder(tmp_path))
