"""The files that a folder or glob names: none is read twice, none left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from towermill.errors import DataError
from towermill.workflows.sources.reading.files import find_files


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


class TestHidden:
    @pytest.mark.parametrize(
        "hidden",
        [
            "day=1/.ipynb_checkpoints/a-checkpoint.parquet",
            "_temporary/0/task/a.parquet",
            ".hive-staging_1/a.parquet",
            "_delta_log/0010.checkpoint.parquet",
            "day=1/_SUCCESS",
            "day=1/.a.parquet.crc",
            "day=1/a.parquet.crc",
            "README.md",
        ],
    )
    def test_hidden_folders_and_metadata_are_no_data(self, tmp_path: Path, hidden: str) -> None:
        put(tmp_path, "day=1/a.parquet", "day=2/a.parquet", hidden)
        wanted = [tmp_path / "day=1/a.parquet", tmp_path / "day=2/a.parquet"]
        assert find_files(tmp_path, "p") == wanted
        assert find_files(tmp_path / "**/*", "p") == wanted

    def test_a_hidden_folder_above_is_no_matter(self, tmp_path: Path) -> None:
        put(tmp_path, ".cache/_data/a.csv")
        assert len(find_files(tmp_path / ".cache/_data", "p")) == 1
        assert len(find_files(tmp_path / ".cache/_data/*.csv", "p")) == 1


class TestEndings:
    def test_compressed(self, tmp_path: Path) -> None:
        names = ["a.csv", "b.csv.gz", "c.csv.zst", "d.CSV.bz2", "e.csv.xz"]
        put(tmp_path, *names)
        assert [file.name for file in find_files(tmp_path, "p")] == names

    @pytest.mark.parametrize("name", ["b.txt", "000001_0", "b.csv.lz4", "b.csv~", "b.csv.bak"])
    def test_other_files_are_refused_by_name(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "a.csv", name)
        for path in (tmp_path, tmp_path / "*"):
            with pytest.raises(DataError, match="have another ending") as error:
                find_files(path, "p")
            assert name in str(error.value)
        assert len(find_files(tmp_path, "p", "csv")) == 2

    def test_codecs_in_names_of_parquet(self, tmp_path: Path) -> None:
        put(tmp_path, "a.parquet", "b.parquet.zstd", "c.snappy.parquet", "d.parquet.lz4")
        assert len(find_files(tmp_path, "p")) == 4


class TestTwice:
    def test_a_file_beside_its_compressed_copy(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "a.csv.gz")
        with pytest.raises(DataError, match="look like the same rows"):
            find_files(tmp_path, "p")

    def test_files_in_the_folder_and_below_it(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "old/b.csv")
        with pytest.raises(DataError, match=r"Found both, such as a.csv and old/b.csv"):
            find_files(tmp_path, "p")

    def test_links_to_folders_are_followed_once(self, tmp_path: Path) -> None:
        put(tmp_path, "log/1/a.csv", "elsewhere/b.csv")
        (tmp_path / "log/2").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "log/1/loop").symlink_to(tmp_path / "log/1")
        names = [file.name for file in find_files(tmp_path / "log", "p")]
        assert names == ["a.csv", "b.csv"]
