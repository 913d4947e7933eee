"""Keys: stable, different when what they stand for differs, and explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import DataError
from towermill.pipelines.stages import keys
from towermill.pipelines.stages.keys import (
    differences,
    fingerprint,
    fingerprints,
    key_of,
)


class TestFingerprint:
    def test_follows_content_not_time(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text("one")
        first = fingerprint(file)
        os.utime(file, (1, 1))
        assert fingerprint(file) == first
        file.write_text("two")
        assert fingerprint(file) != first

    def test_a_copy_is_alike(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).write_text("same")
        assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")

    def test_large_files_by_ends_size_and_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "WHOLE_FILE_BYTES", 8)
        monkeypatch.setattr(keys, "_END_BYTES", 3)
        file, seen = tmp_path / "a", set()
        for text in ("aaabbbbccc", "xaabbbbccc", "aaabbbbccx", "aaabbbbbccc"):
            file.write_text(text)
            os.utime(file, ns=(1, 1))
            seen.add(fingerprint(file))
        assert len(seen) == 4
        file.write_text("aaabbbbccc")
        os.utime(file, ns=(1, 2))
        assert fingerprint(file) not in seen

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        assert fingerprints([tmp_path / "a"]) == {str(tmp_path / "a"): fingerprint(tmp_path / "a")}

    def test_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"Cannot read the raw file .*gone"):
            fingerprints([tmp_path / "gone"])


class TestKey:
    def test_does_not_depend_on_order(self) -> None:
        assert key_of({"a": 1, "b": {"c": 2, "d": 3}}) == key_of({"b": {"d": 3, "c": 2}, "a": 1})

    def test_is_the_same_in_every_version(self) -> None:
        # Were it to change, every finished stage everywhere would run again.
        assert key_of({"stage": "train", "settings": {"epochs": 3}}) == "cef084775632e42e"

    @pytest.mark.parametrize("other", [{"a": "1"}, {"a": 2}, {"b": 1}, {"a": 1, "b": None}, {}])
    def test_differs(self, other: Any) -> None:
        assert key_of({"a": 1}) != key_of(other)


class TestDifferences:
    OLD: dict[str, Any] = {  # noqa: RUF012
        "code": "1",
        "settings": {"train": {"epochs": 3, "schedule": {"kind": "constant"}}},
        "inputs": {"process": "k1"},
        "files": {"/data/a.csv": "f1", "/data/b.csv": "f2"},
    }

    @pytest.mark.parametrize(
        ("change", "reasons"),
        [
            ({}, []),
            ({"code": "2"}, ["code changed"]),
            ({"inputs": {"process": "k2"}}, ["process changes"]),
            ({"files": {"/data/a.csv": "f9", "/data/b.csv": "f2"}}, ["raw file a.csv changed"]),
            ({"files": {"/data/a.csv": "f1"}}, ["raw file b.csv removed"]),
            (
                {"settings": {"train": {"epochs": 4, "schedule": {"kind": "cosine"}}}},
                ["train.epochs: 3 → 4", "train.schedule.kind: constant → cosine"],
            ),
            ({"settings": {"train": {"epochs": 3}}}, None),
        ],
    )
    def test_each_is_named(self, change: dict[str, Any], reasons: list[str] | None) -> None:
        found = differences(self.OLD, {**self.OLD, **change})
        if reasons is None:
            assert len(found) == 1
            assert "train.schedule" in found[0]
        else:
            assert found == reasons
