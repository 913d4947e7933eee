"""What `towermill doctor` finds."""

from __future__ import annotations

import sys
import types
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towermill import __version__
from towermill.cli import doctor
from towermill.runtime.device import Runtime
from towermill.runtime.gpu import GPU


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the heavy imports."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(doctor, "_TRAINING", (("polars", "polars"),))
    monkeypatch.setattr(doctor, "_READING", ())
    monkeypatch.setattr(
        doctor, "_tensorflow", lambda runtime: doctor._check("tensorflow", True, "2")
    )


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

    def test_a_missing_gpu_is_said_and_does_not_count(self) -> None:
        device = found()["device"]
        assert not device["ok"]
        assert not device["needed"]
        assert device["found"].startswith("cpu: ")

    def test_a_missing_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_TRAINING", (("no-such-package", "nothing"),))
        assert doctor.examine()["ok"] is False
        assert found()["no-such-package"]["found"] == "not installed"

    def test_without_any_package_that_trains_it_is_a_place_to_serve_from(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = doctor._library("no-such-tensorflow", "nothing")
        monkeypatch.setattr(doctor, "_tensorflow", lambda runtime: missing)
        monkeypatch.setattr(doctor, "_TRAINING", (("no-such-package", "nothing"),))
        assert doctor.examine()["ok"] is True
        assert found()["no-such-package"]["advice"] == "to train: towermill install cpu"
        monkeypatch.setattr(doctor, "_READING", (("no-such-server", "nothing"),))
        assert doctor.examine()["ok"] is False

    def test_a_library_that_does_not_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_TRAINING", (("polars", "polars.no_such_module"),))
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


ON_GPU = ["cupy-cuda12x", "rmm-cu12", "cudf-cu12", "dask-cudf-cu12", "dask-cuda"]


@pytest.mark.usefixtures("quick")
class TestGPU:
    @pytest.fixture
    def without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "driver", str)
        monkeypatch.setattr(doctor, "gpus", list)
        monkeypatch.setattr(doctor, "version", _not_installed)

    @pytest.fixture
    def with_one(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, types.ModuleType]:
        """A GPU of 80 GiB, and modules that answer as the real ones should."""
        monkeypatch.setattr(doctor, "driver", lambda: "580.1")
        monkeypatch.setattr(doctor, "gpus", lambda: [GPU("H100", 80 * 2**30, 79 * 2**30)])
        monkeypatch.setattr(doctor, "version", lambda package: "26.6.0")
        monkeypatch.setattr(doctor, "resolve", lambda: Runtime("gpu"))
        names = ("cupy", "rmm", "cudf", "dask_cudf", "dask_cuda")
        modules = {name: types.ModuleType(name) for name in names}
        modules["cupy"].arange = lambda n: np.arange(n)
        modules["rmm"].DeviceBuffer = lambda size: types.SimpleNamespace(size=size)
        counts = types.SimpleNamespace(to_pandas=lambda: pd.Series({"a": 2, "b": 1}))
        modules["cudf"].Series = lambda values: types.SimpleNamespace(value_counts=lambda: counts)
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return modules

    @pytest.mark.usefixtures("without")
    def test_says_all_that_is_missing(self) -> None:
        checks = found()
        assert checks["driver"]["found"] == "no NVIDIA driver"
        assert "525 or newer" in checks["driver"]["advice"]
        assert checks["GPU"]["found"] == "no GPU"
        for name in ON_GPU:
            assert checks[name]["found"] == "not installed"
            assert checks[name]["advice"].endswith("towermill install gpu")
        missing = ("driver", "GPU", "device", *ON_GPU)
        assert not any(checks[name]["ok"] or checks[name]["needed"] for name in missing)

    @pytest.mark.usefixtures("with_one")
    def test_says_what_is_there_and_uses_each_once(self) -> None:
        checks = found()
        assert checks["driver"]["found"] == "580.1"
        assert checks["GPU"]["found"] == "H100, 80.0 GiB, 79.0 free"
        assert checks["device"]["ok"]
        assert {name: checks[name]["found"] for name in ON_GPU} == dict.fromkeys(ON_GPU, "26.6.0")

    def test_a_library_that_fails_on_the_gpu_counts(self, with_one: dict[str, Any]) -> None:
        with_one["cupy"].arange = lambda n: np.arange(n) + 1
        check = found()["cupy-cuda12x"]
        assert (check["ok"], check["needed"]) == (False, True)
        assert "a sum came out wrong" in check["found"]
        assert doctor.examine()["ok"] is False


def _not_installed(package: str) -> str:
    raise PackageNotFoundError(package)


class TestHere:
    def test_all_that_a_run_needs_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        findings = doctor.examine()
        assert findings["ok"], findings
        names = {check["name"] for check in findings["checks"]}
        assert {"python", "polars", "nvtabular", "merlin-models", "device", "disk"} <= names
        assert names & {"tensorflow", "tensorflow-cpu"}
