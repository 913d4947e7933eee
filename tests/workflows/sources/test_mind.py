"""MIND: text to tables, on tiny files with known answers."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.prepare.check_impressions import ImpressionChecks
from towermill.workflows.sources.news_logs.mind import Mind
from towermill.workflows.tables import ImpressionTables, Tables

TRAIN = """\
1\tU1\t11/13/2019 9:55:12 AM\tN1 N2\tN3-0 N4-1
2\tU2\t11/14/2019 12:05:00 AM\t\tN3-1 N5-0 N4-1
3\tU1\t11/12/2019 8:00:00 PM\tN1\tN2-0 N3-1
4\tU1\t11/14/2019 9:55:12 AM\tN1 N2\tN5-0 N1-0
5\tU3\t11/14/2019 9:55:13 AM\tN1 N2\tN5-1 N1-0
"""
DEV = "1\tU1\t11/15/2019 1:00:00 PM\tN1 N2 N4\tN6-1 N3-0\n"
TEST = "1\tU4\t11/16/2019 1:00:00 AM\tN6\tN7 N6\n2\tU5\t11/16/2019 2:00:00 AM\t\tN7 N3\n"


def news(item: str, title: str = "A title", entities: str = "", abstract: str = "") -> str:
    def listed(ids: str) -> str:
        return json.dumps([{"Label": f'"{i}"', "WikidataId": i} for i in ids.split()])

    text = "" if item == "N2" else "Text."
    url = "https://example.org/a.html"
    fields = [item, "news", "world", title, text, url, listed(entities), listed(abstract)]
    return "\t".join(fields) + "\n"


def write(folder: Path, behaviors: str, articles: str, entities: str | None = None) -> None:
    folder.mkdir(parents=True)
    (folder / "behaviors.tsv").write_text(behaviors)
    (folder / "news.tsv").write_text(articles)
    if entities is not None:
        (folder / "entity_embedding.vec").write_text(entities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mind"
    titles = news("N1", 'The "quoted', "Q1 Q2", "Q2") + news("N2", '5" of snow', "Q9")
    write(root / "MINDtiny_train", TRAIN, titles + news("N3"), "Q1\t1.0\t2.0\t\nQ2\t3.0\t4.0\t\n")
    more = news("N3", "Another title") + news("N6", "Sixth", abstract="Q3")
    write(root / "MINDtiny_dev", DEV, more, "Q2\t9.0\t9.0\t\nQ3\t5.0\t6.0\t\n")
    return root


@pytest.fixture
def with_test(folder: Path) -> Path:
    write(folder / "MINDtiny_test", TEST, news("N7"))
    return folder


def read(scratch: Path, **options: Any) -> ImpressionTables:
    scratch.mkdir(exist_ok=True)
    tables = Mind(**options).read(scratch)
    assert isinstance(tables, ImpressionTables)
    return tables


class TestImpressions:
    def test_all(self, with_test: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(with_test))
        frame = tables.impressions.collect()
        assert frame["impression_id"].to_list() == [1, 2, 3, 4, 5, 1, 1, 2]
        assert frame["user_id"].to_list() == ["U1", "U2", "U1", "U1", "U3", "U1", "U4", "U5"]
        assert frame["timestamp"].to_list()[:3] == [
            datetime(2019, 11, 13, 9, 55, 12),
            datetime(2019, 11, 14, 0, 5),
            datetime(2019, 11, 12, 20, 0),
        ]
        assert frame["inview"].to_list()[1:3] == [["N3", "N5", "N4"], ["N2", "N3"]]
        assert frame["inview"].to_list()[6:] == [["N7", "N6"], ["N7", "N3"]]
        told = [["N4"], ["N3", "N4"], ["N3"], [], ["N5"], ["N6"], None, None]
        assert frame["clicked"].to_list() == told
        # The first impression is a day and a second before the last of train.
        splits = [
            "train",
            "validation",
            "train",
            "validation",
            "validation",
            "test",
            "hidden",
            "hidden",
        ]
        assert frame["split"].to_list() == splits
        stats = ImpressionChecks.check(tables)
        assert (stats.rows, stats.without_click, stats.unlabelled) == (8, 1, 2)

    def test_histories(self, with_test: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(with_test))
        # Each part's in the order of time, though the file is not: U1's shorter one comes first.
        assert tables.histories.collect().rows() == [
            (0, "U1", ["N1"]),
            (1, "U1", ["N1", "N2"]),
            (2, "U3", ["N1", "N2"]),
            (3, "U1", ["N1", "N2", "N4"]),
            (4, "U4", ["N6"]),
        ]
        looked_up = tables.impressions.collect()["history_id"].to_list()
        assert looked_up == [1, None, 0, 1, 2, 3, 4, None]

    def test_without_dev(self, with_test: Path, tmp_path: Path) -> None:
        (with_test / "MINDtiny_dev").rename(tmp_path / "elsewhere")
        frame = read(tmp_path / "s", path=str(with_test)).impressions.collect()
        splits = ["validation", "test", "validation", "test", "test", "hidden", "hidden"]
        assert frame["split"].to_list() == splits

    def test_one_part_has_no_split(self, folder: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder / "MINDtiny_train"))
        frame = tables.impressions.collect()
        assert frame.height == 5
        assert "split" not in frame.columns

    def test_clicks(self, with_test: Path, tmp_path: Path) -> None:
        tables = Mind(path=str(with_test), rows="clicks").read(tmp_path)
        assert isinstance(tables, Tables)
        frame = tables.interactions.collect()
        assert frame.select("user_id", "item_id", "split").rows() == [
            ("U1", "N4", "train"),
            ("U2", "N3", "validation"),
            ("U2", "N4", "validation"),
            ("U1", "N3", "train"),
            ("U3", "N5", "validation"),
            ("U1", "N6", "test"),
        ]


class TestItems:
    def test_news(self, folder: Path, tmp_path: Path) -> None:
        tables = read(tmp_path / "s", path=str(folder))
        assert tables.items is not None
        items = tables.items.collect()
        assert items.select("item_id", "title", "entities").rows() == [
            ("N1", 'The "quoted', ["Q1", "Q2"]),
            ("N2", '5" of snow', ["Q9"]),
            ("N3", "A title", []),
            ("N6", "Sixth", ["Q3"]),
        ]
        assert items["abstract"].to_list() == ["Text.", None, "Text.", "Text."]
        assert items["category"].unique().to_list() == ["news"]
        assert items["subcategory"].unique().to_list() == ["world"]
        assert list(tables.features["item"]) == ["title", "category", "subcategory"]

    def test_vectors(self, folder: Path, tmp_path: Path) -> None:
        source = Mind(path=str(folder), vectors="entities")
        tables = read(tmp_path / "s", path=str(folder), vectors="entities")
        assert tables.vectors is not None
        # N2's entity has no vector, N3 has no entity; of Q2's two vectors the first file's counts.
        assert tables.vectors.collect().rows() == [("N1", [2.0, 3.0]), ("N6", [5.0, 6.0])]
        assert tables.vectors.collect_schema()["vector"] == pl.List(pl.Float32)
        assert [file.name for file in source.files()[-2:]] == ["entity_embedding.vec"] * 2
        assert ImpressionChecks.check(tables).vector_size == 2


class TestRefused:
    def test_no_train(self, folder: Path) -> None:
        (folder / "MINDtiny_train").rename(folder / "latest")
        with pytest.raises(DataError, match=r"end in train .* MINDtiny_dev, latest"):
            Mind(path=str(folder)).files()

    def test_part_twice(self, folder: Path) -> None:
        write(folder / "MINDlarge_train", TRAIN, "")
        with pytest.raises(DataError, match=r"MINDlarge_train and MINDtiny_train .* part 'train'"):
            Mind(path=str(folder)).files()

    def test_no_news(self, folder: Path) -> None:
        (folder / "MINDtiny_dev" / "news.tsv").unlink()
        with pytest.raises(DataError, match=r"should have news.tsv"):
            Mind(path=str(folder)).files()

    def test_no_entities(self, folder: Path) -> None:
        for file in folder.rglob("*.vec"):
            file.unlink()
        with pytest.raises(DataError, match=r"reads entity_embedding.vec"):
            Mind(path=str(folder), vectors="entities").files()

    def test_vectors_of_no_numbers(self, folder: Path, tmp_path: Path) -> None:
        (folder / "MINDtiny_train" / "entity_embedding.vec").write_text("Q1 1.0 2.0\n")
        with pytest.raises(DataError, match=r"separated by tabs. Received: 'Q1 1.0 2.0'"):
            read(tmp_path / "s", path=str(folder), vectors="entities")


SHARED = os.environ.get("TOWERMILL_SHARED_DATA")


@pytest.mark.skipif(not SHARED, reason="needs TOWERMILL_SHARED_DATA, a folder with samples")
class TestRealSample:
    def test_whole(self, tmp_path: Path) -> None:
        stats = ImpressionChecks.check(read(tmp_path, path=str(Path(SHARED or "") / "mind-sample")))
        expected = {
            "rows": 5000,
            "users": 4637,
            "histories": 4536,
            "without_history": 107,
            "items_shown": 7457,
            "items_clicked": 1916,
            "items_read": 16000,
            "item_rows": 2000,
            "without_click": 0,
            "clicks_not_shown": 0,
        }
        assert {key: getattr(stats, key) for key in expected} == expected


class TestLabels:
    @pytest.mark.parametrize(
        ("shown", "found"),
        [
            ("N3-0 N4-2", "N4-2"),
            ("N3-0 N4-10", "N4-10"),
            ("N3-0 N4", "N4"),  # cut, or not labelled
            ("N3-0 N4-", "N4-"),
            ("N3-x", "N3-x"),
        ],
    )
    def test_others_than_0_and_1(self, folder: Path, shown: str, found: str) -> None:
        file = folder / "MINDtiny_train" / "behaviors.tsv"
        file.write_text(TRAIN + f"6\tU1\t11/14/2019 9:55:12 AM\tN1\t{shown}\n")
        with pytest.raises(DataError, match=rf"behaviors\.tsv, line 6: .*'{found}'"):
            Mind(path=str(folder)).read(folder)
