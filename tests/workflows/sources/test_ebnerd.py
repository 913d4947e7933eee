"""EB-NeRD: parts, splits, histories and articles, on tiny files with known answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.prepare.check_impressions import ImpressionChecks
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.sources.news_logs.ebnerd import EbNerd
from towermill.workflows.sources.news_logs.ebnerd_articles import SENTIMENTS
from towermill.workflows.tables import ImpressionTables, Tables

NOON = datetime(2023, 5, 20, 12)
#: Hours from `NOON`, user, shown, clicked.
Row = tuple[float, int, list[Any], list[int] | None]


def behaviors(rows: Sequence[Row], first_id: int = 1, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "impression_id": range(first_id, first_id + len(rows)),
            "article_id": [None] * len(rows),
            "impression_time": [NOON + timedelta(hours=row[0]) for row in rows],
            "device_type": [2] * len(rows),
            "article_ids_inview": [row[2] for row in rows],
            "article_ids_clicked": [row[3] for row in rows],
            "user_id": [row[1] for row in rows],
            "gender": pl.Series([float("nan")] * len(rows), dtype=pl.Float64),
            "age": [40.0] * len(rows),
            "is_subscriber": [True] * len(rows),
            "next_read_time": [1.0] * len(rows),
            **columns,
        },
        schema_overrides={
            "impression_id": pl.UInt32,
            "user_id": pl.UInt32,
            "device_type": pl.Int8,
            "article_ids_inview": pl.List(pl.Int32),
            "article_ids_clicked": pl.List(pl.Int32),
        },
    )


def history(rows: dict[int, list[int | None]] | list[tuple[int, list[int | None]]]) -> pl.DataFrame:
    pairs = list(rows.items()) if isinstance(rows, dict) else rows
    return pl.DataFrame(
        {
            "user_id": [user for user, _ in pairs],
            "impression_time_fixed": [[NOON] * len(read) for _, read in pairs],
            "article_id_fixed": [read for _, read in pairs],
        },
        schema_overrides={"user_id": pl.UInt32, "article_id_fixed": pl.List(pl.Int32)},
    )


def write(folder: Path, log: pl.DataFrame, read: pl.DataFrame) -> None:
    folder.mkdir(parents=True)
    log.write_parquet(folder / "behaviors.parquet")
    read.write_parquet(folder / "history.parquet")


TRAIN: list[Row] = [
    (0, 7, [1, 2, 3], [2]),
    (24, 8, [2, 4], [4]),  # to the second a day before the last: still train
    (25, 7, [4, 5], [5, 4]),  # validation
    (48, 9, [5, 1], [1]),  # the last of train
]
VALIDATION: list[Row] = [(60, 7, [6, 2], [6]), (61, 5, [6], [])]
HIDDEN: list[Row] = [(80, 8, [6, 7], None), (81, 6, [7], None)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train and validation with articles; user 9 has no history, 8 none of her own later."""
    root = tmp_path / "ebnerd_tiny"
    write(root / "train", behaviors(TRAIN), history({8: [1, None, 2], 7: [3], 4: [], 3: [None]}))
    write(root / "validation", behaviors(VALIDATION, 5), history({7: [3, 5, 4]}))
    articles([1, 2, 3, 4]).write_parquet(root / "articles.parquet")
    return root


@pytest.fixture
def test_set(tmp_path: Path) -> Path:
    """The test set as it is downloaded: without clicks, and with ids of 0 that repeat."""
    root = tmp_path / "ebnerd_testset"
    log = behaviors(HIDDEN, is_beyond_accuracy=[False, True]).drop(
        "article_ids_clicked", "article_id", "next_read_time"
    )
    write(
        root / "test", log.with_columns(impression_id=pl.lit(0, pl.UInt32)), history({8: [1, 2, 4]})
    )
    articles([4, 6, 7], title="later").write_parquet(root / "articles.parquet")
    return root


def articles(ids: list[int], title: str = "first") -> pl.DataFrame:
    count = len(ids)
    return pl.DataFrame(
        {
            "article_id": pl.Series(ids, dtype=pl.Int32),
            "title": [f"{title} {i}" for i in ids],
            "subtitle": [""] * count,
            "body": ["Body."] * count,
            "published_time": pl.Series([NOON] * count, dtype=pl.Datetime("ms")),
            "premium": [False] * count,
            "article_type": ["article_default"] * count,
            "topics": [["Sport", "Håndbold"]] * count,
            "category": pl.Series([142] * count, dtype=pl.Int16),
            "subcategory": pl.Series([[7]] * count, dtype=pl.List(pl.Int16)),
            "category_str": ["sport"] * count,
            "total_pageviews": [9] * count,
            "sentiment_score": pl.Series([0.9] * count, dtype=pl.Float32),
            "sentiment_label": ["Negative"] * count,
        }
    )


def read(scratch: Path, **options: Any) -> ImpressionTables:
    scratch.mkdir(exist_ok=True)
    tables = EbNerd(**options).read(scratch)
    assert isinstance(tables, ImpressionTables)
    return tables


class TestParts:
    def test_impressions(self, folder: Path, tmp_path: Path) -> None:
        frame = read(tmp_path / "s", path=str(folder)).impressions.collect()
        assert frame["impression_id"].to_list() == [1, 2, 3, 4, 5, 6]
        assert frame["user_id"].to_list() == [7, 8, 7, 9, 7, 5]
        assert frame["split"].to_list() == [
            "train",
            "train",
            "validation",
            "validation",
            "test",
            "test",
        ]
        assert frame["inview"].to_list() == [row[2] for row in [*TRAIN, *VALIDATION]]
        assert frame["clicked"].to_list() == [row[3] for row in [*TRAIN, *VALIDATION]]
        assert frame["timestamp"][1] == NOON + timedelta(days=1)
        assert frame.schema["timestamp"] == pl.Datetime("us")
        assert frame.schema["inview"] == frame.schema["clicked"] == pl.List(pl.Int64)
        assert frame["age"].to_list() == [40] * 6
        assert frame["gender"].null_count() == 6
        assert frame["is_subscriber"].all()

    def test_histories_are_those_of_the_part(self, folder: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder))
        histories = tables.histories.collect()
        assert histories.rows() == [(0, 8, [1, 2]), (1, 7, [3]), (2, 7, [3, 5, 4])]
        assert histories.schema["history_id"] == pl.Int64
        # Users 9 and 5 have none, and 8's is of train alone.
        looked_up = tables.impressions.collect()["history_id"].to_list()
        assert looked_up == [1, 0, 1, None, 2, None]

    def test_valid_days(self, folder: Path, tmp_path: Path) -> None:
        frame = read(tmp_path / "s", path=str(folder), validation_days=2).impressions.collect()
        assert frame["split"].to_list() == [
            "train",
            "validation",
            "validation",
            "validation",
            "test",
            "test",
        ]

    def test_hidden(self, folder: Path, test_set: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder), test_path=str(test_set))
        frame = tables.impressions.collect()
        hidden = frame.filter(pl.col("split") == "hidden")
        assert frame["split"].to_list()[-4:] == ["test", "test", "hidden", "hidden"]
        assert hidden["impression_id"].to_list() == [0, 0]
        assert hidden["clicked"].null_count() == 2
        assert hidden["history_id"].to_list() == [3, None]
        assert hidden["is_beyond_accuracy"].to_list() == [False, True]
        assert frame["is_beyond_accuracy"].null_count() == 6
        stats = ImpressionChecks.check(tables)
        assert (stats.rows, stats.unlabelled, stats.histories) == (8, 2, 4)

    def test_test_folder_beside_the_others(
        self, folder: Path, test_set: Path, tmp_path: Path
    ) -> None:
        (test_set / "test").rename(folder / "test")
        frame = read(tmp_path / "s", path=str(folder)).impressions.collect()
        assert frame["split"].to_list()[-2:] == ["hidden", "hidden"]
        with pytest.raises(DataError, match="Leave out one"):
            EbNerd(path=str(folder), test_path=str(test_set)).files()

    def test_without_validation(self, folder: Path, test_set: Path, tmp_path: Path) -> None:
        for file in (folder / "validation").iterdir():
            file.unlink()
        (folder / "validation").rmdir()
        frame = read(tmp_path / "s", path=str(folder), test_path=str(test_set)).impressions
        # The rows at noon of both days are on a border: the earlier split's.
        splits = ["train", "validation", "test", "test", "hidden", "hidden"]
        assert frame.collect()["split"].to_list() == splits

    def test_one_part_has_no_split(self, folder: Path, tmp_path: Path) -> None:
        frame = read(tmp_path / "s", path=str(folder / "train")).impressions.collect()
        assert frame.height == 4
        assert "split" not in frame.columns

    def test_earlier_release(self, tmp_path: Path) -> None:
        old = {
            "impression_time": "first_page_time",
            "article_ids_inview": "article_ids",
            "article_ids_clicked": "list_destination",
        }
        write(tmp_path / "old", behaviors(TRAIN).rename(old), history({7: [3]}))
        frame = read(tmp_path / "s", path=str(tmp_path / "old")).impressions.collect()
        assert frame["inview"].to_list() == [row[2] for row in TRAIN]
        assert frame["clicked"].to_list() == [row[3] for row in TRAIN]

    def test_files(self, folder: Path, test_set: Path) -> None:
        source = EbNerd(path=str(folder), test_path=str(test_set))
        parts = [folder / "train", folder / "validation", test_set / "test"]
        names = ("behaviors.parquet", "history.parquet")
        expected = [part / name for part in parts for name in names]
        expected += [root / "articles.parquet" for root in (folder, test_set)]
        assert source.files() == expected
        # The part itself may be named: its articles are found beside it.
        assert EbNerd(path=str(folder), test_path=str(test_set / "test")).files() == expected


class TestItems:
    def test_columns(self, folder: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is not None
        items = tables.items.collect()
        assert items.columns == [
            *("item_id", "published", "title", "subtitle", "body", "category", "subcategory"),
            *("topics", "premium", "article_type", "sentiment_label", "sentiment_score"),
            *SENTIMENTS,
        ]
        assert items.row(0, named=True) | {"sentiment_score": 0.9} == {
            "item_id": 1,
            "published": NOON,
            "title": "first 1",
            "subtitle": "",
            "body": "Body.",
            "category": "sport",
            "subcategory": [7],
            "topics": ["Sport", "Håndbold"],
            "premium": False,
            "article_type": "article_default",
            "sentiment_label": "Negative",
            "sentiment_score": 0.9,
            "sentiment_negative": pytest.approx(0.9),
            "sentiment_neutral": pytest.approx(0.05),
            "sentiment_positive": pytest.approx(0.05),
        }
        assert items.schema["published"] == pl.Datetime("us")
        assert tables.features == {
            "item": {
                "title": Feature(kind="title"),
                "category": Feature(),
                "sentiment_label": Feature(),
                **{name: Feature(kind="number", normalize=False) for name in SENTIMENTS},
            }
        }

    def test_sentiment_is_three_likelihoods(self, folder: Path, tmp_path: Path) -> None:
        """The score is how likely the label is, no scale from negative to positive."""
        told = articles([1, 2, 3, 4, 5]).with_columns(
            pl.Series("sentiment_label", ["Negative", "Neutral", "Positive", None, "Mixed"]),
            pl.Series("sentiment_score", [0.8, 0.6, 0.5, 0.9, 0.9], dtype=pl.Float32),
        )
        told.write_parquet(folder / "articles.parquet")
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is not None
        found = tables.items.select(SENTIMENTS).collect().to_numpy()
        expected = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.25, 0.25, 0.5]]
        np.testing.assert_allclose(found[:3], expected, atol=1e-6)
        assert np.isnan(found[3:]).all()

    def test_no_sentiment(self, folder: Path, tmp_path: Path) -> None:
        articles([1]).drop("sentiment_score").write_parquet(folder / "articles.parquet")
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is not None
        assert tables.items.select(SENTIMENTS).collect().null_count().row(0) == (1, 1, 1)

    def test_category_without_a_name(self, folder: Path, tmp_path: Path) -> None:
        articles([1]).drop("category_str").write_parquet(folder / "articles.parquet")
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is not None
        assert tables.items.collect()["category"].to_list() == ["142"]

    def test_one_row_an_id(self, folder: Path, test_set: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder), test_path=str(test_set))
        assert tables.items is not None
        items = tables.items.collect()
        assert items["item_id"].to_list() == [1, 2, 3, 4, 6, 7]
        assert items["title"].to_list()[3:] == ["first 4", "later 6", "later 7"]

    def test_no_articles(self, folder: Path, tmp_path: Path) -> None:
        (folder / "articles.parquet").unlink()
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is None
        assert tables.features == {"item": {}}


class TestVectors:
    @pytest.mark.parametrize("kind", [pl.List(pl.Float64), pl.Array(pl.Float32, 2)])
    def test_read(self, folder: Path, tmp_path: Path, kind: pl.DataType) -> None:
        file = tmp_path / "document_vector.parquet"
        pl.DataFrame(
            {"article_id": [2, 1, 3], "document_vector": [[0.5, 1.0], [2.0, 0.0], None]},
            schema_overrides={"article_id": pl.Int32, "document_vector": kind},
        ).write_parquet(file)
        tables = read(tmp_path / "s", path=str(folder), vectors=str(file))
        assert tables.vectors is not None
        vectors = tables.vectors.collect()
        assert vectors.rows() == [(2, [0.5, 1.0]), (1, [2.0, 0.0])]
        assert vectors.schema == {"item_id": pl.Int64, "vector": pl.List(pl.Float32)}
        assert EbNerd(path=str(folder), vectors=str(file)).files()[-1] == file

    def test_two_columns_of_vectors(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "v.parquet"
        pl.DataFrame({"article_id": [1], "a": [[0.5]], "b": [[0.5]]}).write_parquet(file)
        with pytest.raises(DataError, match=r"one column of lists of floats. Found: .*b \(List"):
            read(tmp_path / "s", path=str(folder), vectors=str(file))


class TestClicks:
    def test_interactions(self, folder: Path, test_set: Path, tmp_path: Path) -> None:
        source = EbNerd(path=str(folder), test_path=str(test_set), rows="clicks")
        tables = source.read(tmp_path)
        assert isinstance(tables, Tables)
        frame = tables.interactions.collect()
        assert frame.select("user_id", "item_id", "split").rows() == [
            (7, 2, "train"),
            (8, 4, "train"),
            (7, 5, "validation"),
            (7, 4, "validation"),
            (9, 1, "validation"),
            (7, 6, "test"),
        ]
        assert "history_id" not in frame.columns
        assert frame["age"].to_list() == [40] * 6
        assert InteractionChecks.check(tables).items_without_row == 1  # 5


class TestRefused:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"`source.path` should be a folder. Nothing"):
            EbNerd(path=str(tmp_path / "none")).files()

    def test_no_train(self, folder: Path) -> None:
        (folder / "train").rename(folder / "training")
        with pytest.raises(DataError, match=r"articles.parquet, training, validation"):
            EbNerd(path=str(folder)).files()

    def test_part_without_history(self, folder: Path) -> None:
        (folder / "validation" / "history.parquet").unlink()
        with pytest.raises(DataError, match=r"validation: behaviors.parquet"):
            EbNerd(path=str(folder)).files()

    def test_missing_column(self, folder: Path, tmp_path: Path) -> None:
        file = folder / "train" / "behaviors.parquet"
        behaviors(TRAIN).drop("article_ids_inview").write_parquet(file)
        with pytest.raises(DataError, match=r"'article_ids_inview' \('article_ids' in an earlier"):
            read(tmp_path / "s", path=str(folder))

    def test_ids_that_are_no_lists(self, folder: Path, tmp_path: Path) -> None:
        file = folder / "train" / "behaviors.parquet"
        behaviors(TRAIN).with_columns(article_ids_inview=pl.lit(1)).write_parquet(file)
        with pytest.raises(DataError, match="should hold lists of ids"):
            read(tmp_path / "s", path=str(folder))

    def test_user_twice_in_a_history(self, folder: Path, tmp_path: Path) -> None:
        file = folder / "train" / "history.parquet"
        history([(7, [1]), (8, [1]), (7, [2])]).write_parquet(file)
        with pytest.raises(DataError, match="1 users have more, such as 7"):
            read(tmp_path / "s", path=str(folder))


SHARED = os.environ.get("TOWERMILL_SHARED_DATA")


@pytest.mark.skipif(not SHARED, reason="needs TOWERMILL_SHARED_DATA, a folder with samples")
class TestRealSample:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (("behaviors", "history"), (1046, 38, 44, 1403, 576, 2194)),
            (("old/train_behaviors", "old/train_history"), (677, 37, 46, 1354, 453, 2195)),
        ],
    )
    def test_whole(self, tmp_path: Path, names: tuple[str, str], expected: tuple[int, ...]) -> None:
        (tmp_path / "part").mkdir()
        for name, real in zip(("behaviors", "history"), names, strict=True):
            target = Path(SHARED or "") / "ebnerd-sample" / f"{real}.parquet"
            (tmp_path / "part" / f"{name}.parquet").symlink_to(target)
        stats = ImpressionChecks.check(read(tmp_path / "s", path=str(tmp_path / "part")))
        keys = ("rows", "users", "histories", "items_shown", "items_clicked", "items_read")
        assert tuple(getattr(stats, key) for key in keys) == expected
        clean = ("without_history", "clicks_not_shown", "without_click", "null_inview")
        assert [getattr(stats, key) for key in clean] == [0, 0, 0, 0]
