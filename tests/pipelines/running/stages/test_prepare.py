"""The stage `prepare` on sources of both kinds of tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError, StageError
from towermill.pipelines import validate_recipe
from towermill.pipelines.stages.prepare import prepare
from towermill.runtime.device import Runtime
from towermill.workflows.prepare.prepare import prepare as prepare_source
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.generated.news import News
from towermill.workflows.sources.news_logs.ebnerd import EbNerd
from towermill.workflows.tables import ImpressionTables, Tables, read_tables

NEWS: dict[str, Any] = {
    "kind": "news",
    "users": 50,
    "articles": 300,
    "impressions": 100,
    "hidden": 10,
}


def run(out: Path, source: dict[str, Any]) -> dict[str, Any]:
    kind = "two_tower" if source.get("rows") == "clicks" else "nrms"
    recipe = validate_recipe(
        {"name": "papers", "source": source, "model": {"kind": kind}}, "papers"
    )
    out.mkdir()
    prepare(recipe, {}, out, Runtime())
    assert not (out / "scratch").exists()
    counts: dict[str, Any] = json.loads((out / "stats.json").read_text())
    return counts


class TestImpressions:
    def test_written_and_counted(self, tmp_path: Path) -> None:
        counts = run(tmp_path / "out", NEWS)
        assert (counts["rows"], counts["unlabelled"]) == (100 + 20 + 40 + 10, 10)
        tables = read_tables(tmp_path / "out")
        assert isinstance(tables, ImpressionTables)
        assert tables.impressions.collect().height == 170
        assert list(tables.features["item"]) == ["title", "category", "sentiment_label"]

    def test_clicks_are_interactions(self, tmp_path: Path) -> None:
        run(tmp_path / "out", {**NEWS, "rows": "clicks"})
        assert isinstance(read_tables(tmp_path / "out"), Tables)

    @pytest.mark.parametrize("on_null_id", ["error", "drop"])
    def test_null_users(self, tmp_path: Path, on_null_id: str) -> None:
        part = tmp_path / "part"
        part.mkdir()
        pl.DataFrame(
            {
                "impression_id": [1, 2],
                "user_id": [None, 3],
                "impression_time": [1_700_000_000, 1_700_000_001],
                "article_ids_inview": [[1, 2], [2, 3]],
                "article_ids_clicked": [[1], [3]],
            }
        ).write_parquet(part / "behaviors.parquet")
        pl.DataFrame({"user_id": [3], "article_id_fixed": [[1]]}).write_parquet(
            part / "history.parquet"
        )
        source = EbNerd(path=str(part), on_null_id=on_null_id).model_dump()
        if on_null_id == "error":
            with pytest.raises(DataError, match="1 have none"):
                run(tmp_path / "out", source)
            return
        assert run(tmp_path / "out", source)["null_ids_dropped"] == 1
        tables = read_tables(tmp_path / "out")
        assert isinstance(tables, ImpressionTables)
        assert tables.impressions.collect()["user_id"].to_list() == [3]


class Mistaken(SourceConfig):
    """Says interactions, and returns impressions."""

    kind: str = "mistaken"

    @property
    def events(self) -> Any:
        return "interactions"

    def files(self) -> list[Path]:
        return []

    def read(self, scratch: Path) -> Any:
        return News(users=50, articles=300, impressions=100).read(scratch)


def test_tables_of_other_events_than_declared(tmp_path: Path) -> None:
    """The recipe is checked, and its stages keyed, for the events that are declared."""
    with pytest.raises(StageError, match=r"'mistaken' should return tables of interactions"):
        prepare_source(Mistaken(), tmp_path)
