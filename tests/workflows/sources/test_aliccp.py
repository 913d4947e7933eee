"""Ali-CCP: raw skeleton and common features, Parquet, and CSV with numbered fields."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.selecting.split import Split, split
from towermill.workflows.sources.aliccp import (
    DEFAULT_ITEM_FEATURES,
    DEFAULT_USER_FEATURES,
    AliCCP,
    most_frequent,
)

SHARED = Path(__file__).parents[4] / "shared" / "data" / "ali-ccp-sample"


def entries(*triples: tuple[str, int, float]) -> str:
    return "\x01".join(f"{field}\x02{value}\x03{weight}" for field, value, weight in triples)


def line(*cells: object) -> str:
    return ",".join(map(str, cells)) + "\n"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    item = [("205", 11, 1.0), ("206", 5, 1.0), ("207", 6, 1.0), ("216", 7, 1.0)]
    (tmp_path / "sample_skeleton_train.csv").write_text(
        line(1, 0, 0, "aa", 5, entries(*item, ("301", 935, 1.0)))
        + line(2, 1, 1, "bb", 2, entries(("205", 12, 1.0), ("508", 99, 2.3)))
        + line(3, 1, 0, "zz", 1, entries(("205", 12, 1.0)))
    )
    (tmp_path / "common_features_train.csv").write_text(
        line("bb", 2, entries(("101", 8, 1.0), ("121", 31, 1.0)))
        + line(
            "aa",
            6,
            entries(
                ("109_14", 1, 0.5),
                ("109_14", 2, 2.5),
                ("109_14", 3, 2.5),
                ("101", 7, 1.0),
                ("127", 4, 1.0),
                ("127_14", 40, 1.5),
            ),
        )
    )
    (tmp_path / "sample_skeleton_test.csv").write_text(line(1, 0, 0, "aa", 1, entries(*item)))
    (tmp_path / "common_features_test.csv").write_text(line("aa", 1, entries(("101", 7, 1.0))))
    return tmp_path


class TestRaw:
    def test_skeleton_meets_its_common_features(self, raw: Path) -> None:
        rows = AliCCP(path=str(raw)).read(raw).interactions.collect(engine="streaming")
        columns = ["user_id", "item_id", "click", "conversion", "position", "split"]
        assert rows.select(columns).rows() == [
            (7, 11, 0, 0, 935, "train"),
            (8, 12, 1, 1, None, "train"),
            (None, 12, 1, 0, None, "train"),
            (7, 11, 0, 0, None, "test"),
        ]
        assert rows["user_item_categories"].to_list() == [None, 99, None, None]
        assert rows.schema["click"] == pl.Int8

    def test_strongest_of_several_values_and_first_of_equals(self, raw: Path) -> None:
        users = AliCCP(path=str(raw)).read(raw).users
        assert users is not None
        found = users.select("user_id", "user_categories", "user_consumption_2", "user_brands")
        assert found.collect(engine="streaming").rows() == [(7, 2, 4, 40), (8, None, None, None)]

    def test_null_user_has_no_row_and_is_reported(self, raw: Path) -> None:
        source = AliCCP(path=str(raw))
        tables = source.read(raw)
        assert source.on_null_id == "drop"
        stats = InteractionChecks.check(tables, source.on_null_id)
        assert stats.null_user_ids == stats.null_ids_dropped == 1
        assert (stats.rows, stats.users, stats.user_rows) == (3, 2, 2)
        with pytest.raises(DataError, match="Of 4 rows, 1 have no user_id"):
            InteractionChecks.check(tables)

    def test_features_are_those_of_the_published_example_that_have_values(self, raw: Path) -> None:
        tables = AliCCP(path=str(raw)).read(raw)
        features = tables.features
        assert tuple(features["item"]) == DEFAULT_ITEM_FEATURES
        # An optional field that training leaves empty has no vocabulary: its rows are taken still.
        assert tables.users is not None
        users = tables.users.collect()
        full = tuple(name for name in DEFAULT_USER_FEATURES if users[name].count())
        assert tuple(features["user"]) == full
        assert 0 < len(full) < len(DEFAULT_USER_FEATURES)
        assert {f.kind for fs in features.values() for f in fs.values()} == {"category"}

    def test_folders_as_the_archives_unpack(self, raw: Path) -> None:
        for part in ("train", "test"):
            (raw / f"sample_{part}").mkdir()
            for name in (f"sample_skeleton_{part}.csv", f"common_features_{part}.csv"):
                (raw / name).rename(raw / f"sample_{part}" / name)
        assert AliCCP(path=str(raw)).read(raw).interactions.collect().height == 4

    def test_skeleton_alone(self, raw: Path) -> None:
        (raw / "common_features_test.csv").unlink()
        with pytest.raises(DataError, match="common_features_test"):
            AliCCP(path=str(raw)).files()


class TestParquet:
    def test_split_folders(self, tmp_path: Path) -> None:
        for part, user in (("train", 1.0), ("validation", None)):
            (tmp_path / part).mkdir()
            frame = {"user_id": [user], "item_id": [5], "click": [1], "item_shop": [3]}
            pl.DataFrame(frame, schema_overrides={"user_id": pl.Float64}).write_parquet(
                tmp_path / part / "part_0.parquet"
            )
        tables = AliCCP(path=str(tmp_path)).read(tmp_path)
        assert tables.interactions.collect().rows() == [
            (1, 5, 1, "train"),
            (None, 5, 1, "validation"),
        ]
        assert list(tables.features["item"]) == ["item_shop"]

    def test_no_split_where_no_file_says_so(self, tmp_path: Path) -> None:
        pl.DataFrame({"user_id": [1], "item_id": [5], "click": [1]}).write_parquet(
            tmp_path / "part_0.parquet"
        )
        rows = AliCCP(path=str(tmp_path)).read(tmp_path).interactions
        assert rows.collect_schema().names() == ["user_id", "item_id", "click"]

    def test_some_files_named_after_a_split(self, tmp_path: Path) -> None:
        for name in ("train.parquet", "part.parquet"):
            pl.DataFrame({"user_id": [1]}).write_parquet(tmp_path / name)
        with pytest.raises(DataError, match=r"part\.parquet is not"):
            AliCCP(path=str(tmp_path)).files()

    def test_missing_column(self, tmp_path: Path) -> None:
        pl.DataFrame({"user_id": [1], "item_id": [5]}).write_parquet(tmp_path / "a.parquet")
        with pytest.raises(DataError, match="'click'"):
            AliCCP(path=str(tmp_path)).read(tmp_path)


class TestNumberedCsv:
    def test_names_and_splits(self, tmp_path: Path) -> None:
        header = "click,purchase,101,205,206,109_14,D109_14\n"
        (tmp_path / "ali_ccp_train.csv").write_text(header + "1,0,7,11,5,2,0.5\n")
        (tmp_path / "ali_ccp_val.csv").write_text(header + "0,0,7,12,6,2,0.5\n")
        (tmp_path / "ali_ccp_test.csv").write_text(header + "1,1,,12,6,2,0.5\n")
        source = AliCCP(path=str(tmp_path))
        assert [f.stem[8:] for f in source.files()] == ["train", "val", "test"]
        tables = source.read(tmp_path)
        rows = tables.interactions.collect()
        assert rows.columns == ["user_id", "item_id", "click", "conversion", "split"]
        assert rows.rows() == [
            (7, 11, 1, 0, "train"),
            (7, 12, 0, 0, "validation"),
            (None, 12, 1, 1, "test"),
        ]
        assert tables.items is not None
        assert tables.items.collect().rows() == [(11, 5), (12, 6)]

    def test_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="Found none of these"):
            AliCCP(path=str(tmp_path)).files()

    @pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
    def test_real_sample(self, tmp_path: Path) -> None:
        tables = AliCCP(path=str(SHARED)).read(tmp_path)
        with pytest.raises(DataError, match="All 200 rows have the user 1"):
            InteractionChecks.check(tables, "drop")
        parts = split(tables.interactions, Split(kind="given", cold="keep"), tmp_path).parts
        assert {k: v.collect().height for k, v in parts.items()} == {
            "train": 100,
            "validation": 50,
            "test": 50,
        }
        assert len(tables.features["user"]) == 11


class TestMostFrequent:
    def test_most_frequent_combination_and_earliest_of_equals(self) -> None:
        log = pl.LazyFrame(
            {
                "id": [1, 1, 1, 2, 2, None],
                "a": [5, 6, 6, 9, 8, 1],
                "b": [1, 2, 2, 1, 1, 1],
            }
        )
        assert most_frequent(log, "id", ["a", "b"], pl.lit(True)).collect().rows() == [
            (1, 6, 2),
            (2, 9, 1),
        ]

    def test_what_test_rows_say_does_not_reach_training(self) -> None:
        log = pl.LazyFrame(
            {
                "id": [1, 1, 1, 2, 2],
                "a": [5, 6, 6, 7, 7],
                "train": [True, False, False] + [False] * 2,
            }
        )
        # 1 is known from training; 2 is not, so that other rows may speak of it.
        assert most_frequent(log, "id", ["a"], pl.col("train")).collect().rows() == [(1, 5), (2, 7)]

    def test_a_combination_is_one_that_occurs(self) -> None:
        # By column the most frequent would be (1, 1), which no row has.
        log = pl.LazyFrame({"id": [0] * 4, "a": [1, 1, 2, 3], "b": [2, 3, 1, 1]})
        assert most_frequent(log, "id", ["a", "b"], pl.lit(True)).collect().rows() == [(0, 1, 2)]
