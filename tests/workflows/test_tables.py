"""Tables between `prepare` and `process`: what is written is what is read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.tables import ImpressionTables, Tables, read_tables, write_tables

INTERACTIONS = pl.DataFrame(
    {
        "user_id": ["a", "b"],
        "item_id": [1, 2],
        "timestamp": pl.Series([datetime(2024, 1, 1, 12, 0, 0, 1)] * 2, dtype=pl.Datetime("us")),
    }
)
ITEMS = pl.DataFrame({"item_id": [2, 1], "tags": [["x"], None]})


class TestRoundTrip:
    def test_all(self, tmp_path: Path) -> None:
        features = {
            "item": {"tags": Feature(kind="list", max_length=3), "title": Feature(kind="title")},
            "context": {"price": Feature(kind="number", boundaries=(1.0, 2.5))},
        }
        users = pl.DataFrame({"user_id": ["a", "b"]})
        tables = Tables(INTERACTIONS.lazy(), ITEMS.lazy(), users.lazy(), features)
        write_tables(tables, tmp_path)
        read = read_tables(tmp_path)
        assert isinstance(read, Tables)
        assert read.interactions.collect().equals(INTERACTIONS)
        assert read.interactions.collect_schema() == INTERACTIONS.schema
        assert read.items is not None
        assert read.items.collect().equals(ITEMS)
        assert read.users is not None
        assert read.users.collect().equals(users)
        assert read.features == features

    def test_interactions_alone(self, tmp_path: Path) -> None:
        write_tables(Tables(INTERACTIONS.lazy()), tmp_path)
        read = read_tables(tmp_path)
        assert isinstance(read, Tables)
        assert read.items is None
        assert read.users is None
        assert read.features == {}

    def test_order_of_rows_is_kept(self, tmp_path: Path) -> None:
        frame = pl.DataFrame({"user_id": range(10_000), "item_id": range(10_000, 0, -1)})
        write_tables(Tables(frame.lazy()), tmp_path)
        read = read_tables(tmp_path)
        assert isinstance(read, Tables)
        assert read.interactions.collect().equals(frame)


class TestImpressions:
    impressions = pl.DataFrame(
        {
            "impression_id": [4, 4],
            "user_id": ["a", "b"],
            "timestamp": INTERACTIONS["timestamp"],
            "history_id": pl.Series([0, None], dtype=pl.Int64),
            "inview": [[2, 1], [1]],
            "clicked": [[1], None],
        }
    )
    histories = pl.DataFrame({"history_id": [0], "user_id": ["a"], "history": [[1, 1]]})
    vectors = pl.DataFrame(
        {"item_id": [1], "vector": [[0.5, 1.0]]}, schema_overrides={"vector": pl.List(pl.Float32)}
    )

    def test_all(self, tmp_path: Path) -> None:
        features = {"item": {"tags": Feature(kind="list")}}
        tables = ImpressionTables(
            self.impressions.lazy(),
            self.histories.lazy(),
            ITEMS.lazy(),
            self.vectors.lazy(),
            features,
        )
        write_tables(tables, tmp_path)
        read = read_tables(tmp_path)
        assert isinstance(read, ImpressionTables)
        for name, frame in (
            ("impressions", self.impressions),
            ("histories", self.histories),
            ("items", ITEMS),
            ("vectors", self.vectors),
        ):
            assert getattr(read, name).collect().equals(frame), name
            assert getattr(read, name).collect_schema() == frame.schema
        assert read.features == features

    def test_no_sides(self, tmp_path: Path) -> None:
        write_tables(ImpressionTables(self.impressions.lazy(), self.histories.lazy()), tmp_path)
        read = read_tables(tmp_path)
        assert isinstance(read, ImpressionTables)
        assert read.items is None
        assert read.vectors is None


class TestRefused:
    @pytest.mark.parametrize("missing", ["interactions.parquet", "features.json"])
    def test_incomplete_folder(self, tmp_path: Path, missing: str) -> None:
        write_tables(Tables(INTERACTIONS.lazy()), tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(DataError, match="the output of the `prepare` stage"):
            read_tables(tmp_path)

    @pytest.mark.parametrize("missing", ["histories.parquet", "features.json"])
    def test_incomplete_folder_of_impressions(self, tmp_path: Path, missing: str) -> None:
        tables = ImpressionTables(
            TestImpressions.impressions.lazy(), TestImpressions.histories.lazy()
        )
        write_tables(tables, tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(DataError, match=r"Expected impressions.parquet, histories.parquet"):
            read_tables(tmp_path)

    def test_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"interactions\.parquet"):
            read_tables(tmp_path)

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2, "features": {}}'])
    def test_features_of_another_version(self, tmp_path: Path, text: str) -> None:
        write_tables(Tables(INTERACTIONS.lazy()), tmp_path)
        (tmp_path / "features.json").write_text(text)
        with pytest.raises(DataError, match=r"(?s)features of version 1.*`prepare` stage again"):
            read_tables(tmp_path)
