"""The GPU's benchmark: as far as it goes without one, and what it would write with one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STAGES = ["prepare", "process", "train", "evaluate", "export"]


@pytest.mark.slow
def test_without_a_gpu_the_cpus_legs_run(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    done = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / "gpu.py", "--tiny", "--data", tmp_path / "data"),
            *("--json", tmp_path / "found.json", "--report", report),
        ],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["left_out"].startswith("no NVIDIA GPU is visible")
    assert "No leg runs on a GPU: no NVIDIA GPU is visible" in done.stderr
    assert [row["what"] for row in found["etl"]] == ["ours, CPU", "Polars"]
    assert [row["errors"] for row in found["etl"]] == [[], []]
    assert [(row["leg"], row["what"]) for row in found["recipes"]] == [
        ("two_tower", "cpu"),
        ("nrms", "cpu"),
    ]
    for row in found["recipes"]:
        assert list(row["stages"]) == STAGES
        assert row["stages"]["train"]["samples_per_second"] > 0
        assert row["stages"]["evaluate"]["queries"] > 0
    assert not report.exists()  # it is of a GPU


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


class TestReport:
    RESULTS: dict[str, Any] = {  # noqa: RUF012
        "GPU": "NVIDIA H100",
        "driver": "580.1",
        "machine": {"at": "2026-11-22", "cores": 16, "memory_gib": 128.0, "python": "3.11"},
        "options": {"rows": 5000000, "repeat": 3},
        "etl": [
            {"what": "stock NVTabular, cuDF", "failed": "NameError"},
            {
                **{"what": "ours, cuDF", "fit": 1, "write": 2, "total": 3},
                **{"rows_per_second": 2e6, "errors": []},
            },
        ],
        "recipes": [
            {
                "leg": "two_tower",
                "what": "gpu, bfloat16",
                "stages": {
                    "process": {"seconds": 1.25},
                    "train": {
                        "samples_per_second": 123456.7,
                        "utilisation": 87.5,
                        "gpu_bytes": 3 << 30,
                    },
                    "evaluate": {"seconds": 2.0, "queries": 1234},
                    "export": {"seconds": 4.0},
                },
            },
            {"leg": "nrms", "what": "gpu", "failed": "out of memory"},
        ],
    }

    def test_names_the_gpu_and_all_that_was_found(self, gpu: Any) -> None:
        page = gpu.report(self.RESULTS)
        assert page.startswith("# What was measured on NVIDIA H100\n")
        assert "driver 580.1, 16 cores, 128.0 GiB" in page
        assert "| ours, cuDF | 1.00 | 2.00 | 3.00 | 2.00 | yes |" in page
        assert "| stock NVTabular, cuDF | – | – | – | – | failed |" in page
        row = "| two_tower | gpu, bfloat16 | 1.2 | 123,457 | 88 % | 3.0 | 2.0 | 1,234 | 4.0 |"
        assert row in page
        assert "| nrms | gpu | failed |" in page

    def test_tables_are_square(self, gpu: Any) -> None:
        for head, rows in gpu.tables(self.RESULTS):
            assert {len(row) for row in rows} == {len(head)}


class TestLegs:
    def test_gpus_are_hidden_from_the_cpus(self, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with gpu._device("cpu"):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        with gpu._device("gpu"):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"

    def test_each_way_on_a_gpu_and_one_that_fails(
        self, gpu: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        started = []

        def run_script(script: str, *arguments: object) -> dict[str, Any]:
            started.append((arguments[1], json.loads(str(arguments[3]))[-1]))
            if len(started) == 2:
                raise SystemExit("it broke")
            return {}

        monkeypatch.setattr(gpu, "run_script", run_script)
        options = gpu.argparse.Namespace(tiny=False, data=tmp_path)
        console = gpu.Console(file=(tmp_path / "log").open("w"))
        rows = gpu._recipe("nrms", options, ["gpu", "cpu"], console)
        plain, fast = "train.epochs=3", "train.mixed_precision=bfloat16"
        assert started == [("gpu", plain), ("gpu", fast), ("cpu", plain)]
        assert [row["what"] for row in rows] == ["gpu", "gpu, bfloat16", "cpu"]
        assert ["failed" in row for row in rows] == [False, True, False]
