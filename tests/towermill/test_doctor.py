"""What `towermill doctor` finds."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest

from towermill import __version__, doctor


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the heavy imports."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(doctor, "_LIBRARIES", (("polars", "polars"),))
    monkeypatch.setattr(doctor, "_tensorflow", lambda: doctor._check("tensorflow", True, "2"))


def found() -> dict[str, Any]:
    return {check["name"]: check for check in doctor.examine()["checks"]}


@pytest.mark.usefixtures("quick")
class TestExamine:
    def test_form(self) -> None:
        findings = doctor.examine()
        assert findings["ok"] is True
        assert findings["towermill"] == __version__
        for check in findings["checks"]:
            assert set(check) == {"name", "ok", "found", "advice", "needed"}
            assert bool(check["advice"]) is not check["ok"]

    def test_a_missing_card_is_said_and_does_not_count(self) -> None:
        device = found()["device"]
        assert not device["ok"]
        assert not device["needed"]
        assert device["found"].startswith("cpu: ")

    def test_a_missing_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_LIBRARIES", (("no-such-package", "nothing"),))
        assert doctor.examine()["ok"] is False
        assert found()["no-such-package"]["found"] == "not installed"

    def test_a_library_that_does_not_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_LIBRARIES", (("polars", "polars.no_such_module"),))
        check = found()["polars"]
        assert not check["ok"]
        assert "ModuleNotFoundError" in check["found"]
        assert check["advice"]
        assert doctor.examine()["ok"] is False

    def test_a_library_that_does_not_work(self) -> None:
        def fail() -> None:
            raise ArithmeticError("wrong")

        check = doctor._library("polars", "polars", fail)
        assert "ArithmeticError: wrong" in check["found"]

    def test_an_extra_is_for_something(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_OPTIONAL", (("no-such-package", "x needs it"),))
        assert found()["no-such-package"]["advice"] == "x needs it"
        assert doctor.examine()["ok"] is True

    def test_a_full_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(1, 1, 2**20))
        assert doctor.examine()["ok"] is False
        assert found()["disk"] == {
            **{"name": "disk", "ok": False, "found": "0.0 GiB free here", "needed": True},
            "advice": "choose --out elsewhere",
        }


class TestHere:
    def test_all_that_a_run_needs_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        findings = doctor.examine()
        assert findings["ok"], findings
        names = {check["name"] for check in findings["checks"]}
        assert {"python", "polars", "nvtabular", "merlin-models", "device", "disk"} <= names
        assert names & {"tensorflow", "tensorflow-cpu"}
