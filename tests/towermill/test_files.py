"""Files and folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from towermill.files import replacing, replacing_folder, take_place


class TestFile:
    def test_takes_the_place_of_the_old(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("old")
        with replacing(path) as partial:
            partial.write_text("new")
            assert path.read_text() == "old"
            assert partial.suffix == ".csv"
        assert path.read_text() == "new"
        assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]

    def test_an_error_leaves_the_old(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("old")
        with pytest.raises(RuntimeError), replacing(path) as partial:  # noqa: PT012
            partial.write_text("half")
            raise RuntimeError
        assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]

    def test_two_at_a_time(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        with replacing(path, shared=True) as one, replacing(path, shared=True) as other:
            assert one != other
            one.write_text("one")
            other.write_text("other")
        assert path.read_text() in ("one", "other")


class TestFolder:
    def test_takes_the_place_of_the_old(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.mkdir()
        (path / "old").touch()
        (tmp_path / "a.partial").mkdir()
        (tmp_path / "a.partial" / "of a killed attempt").touch()
        with replacing_folder(path) as partial:
            (partial / "new").touch()
            assert (path / "old").exists()
        assert [file.name for file in path.iterdir()] == ["new"]
        assert [file.name for file in tmp_path.iterdir()] == ["a"]

    def test_an_error_leaves_the_old(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with pytest.raises(RuntimeError), replacing_folder(path) as partial:  # noqa: PT012
            (partial / "half").touch()
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []

    def test_what_a_kill_left_of_the_old_is_removed(self, tmp_path: Path) -> None:
        for name in ("a.partial", "a.old"):
            (tmp_path / name).mkdir()
        take_place(tmp_path / "a.partial", tmp_path / "a")
        assert [file.name for file in tmp_path.iterdir()] == ["a"]
