"""The benchmark of the operators, on tiny data: it runs, agrees, and tells what is wrong."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "etl.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_all_engines_agree(tmp_path):
    done = _benchmark(
        *("--rows", 20_000, "--repeat", 1, "--workloads", "filter"),
        *("--data", tmp_path, "--json", tmp_path / "etl.json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "etl.json").read_text())
    assert [run["engine"] for run in found["runs"]] == ["ours", "stock", "polars"]
    assert all(check["errors"] == [] for check in found["agreement"])
    assert found["machine"]["cores"] >= 1
    assert "of ours" in done.stdout


def _errors(
    check: Callable[..., dict], raw: Path, ids: list[int], click: list[int] | None = None
) -> list[str]:
    output = raw.parent / "output"
    output.mkdir(exist_ok=True)
    frame = pl.read_parquet(raw).with_columns(pl.Series("item_id", ids, pl.Int32))
    if click:
        frame = frame.with_columns(pl.Series("click", click))
    frame.write_parquet(output / "part_0.parquet")
    return check("encode", raw, output, None)["errors"]


class TestAgreement:
    @pytest.fixture
    def raw(self, tmp_path):
        path = tmp_path / "raw.parquet"
        pl.DataFrame(
            {"item_id": [7, 7, 9, None, 7, 9, 4, 8], "click": [0, 1, 0, 1, 0, 1, 1, 0]}
        ).write_parquet(path)
        return path

    @pytest.fixture
    def errors(self, raw, monkeypatch):
        monkeypatch.syspath_prepend(BENCHMARKS / "parts")
        agree = importlib.import_module("etl_agree")
        return functools.partial(_errors, agree.check, raw)

    def test_takes_ties_either_way(self, errors):
        assert errors([3, 3, 4, 1, 3, 4, 5, 6]) == []
        assert errors([3, 3, 4, 1, 3, 4, 6, 5]) == []

    def test_tells_what_is_wrong(self, errors):
        assert errors([4, 4, 3, 1, 4, 3, 5, 6]) == ["item_id: ids do not fall by frequency"]
        assert errors([3, 3, 4, 2, 3, 4, 5, 6]) == ["item_id: null is [2], not 1"]
        assert errors([3, 3, 4, 1, 3, 5, 5, 6])[:2] == [
            "item_id: a value has several ids",
            "item_id: an id stands for several values",
        ]
        assert errors([3, 3, 4, 1, 3, 4, 2, 5]) == ["item_id: ids outside of the vocabulary's"]
        assert errors([3, 3, 4, 1, 3, 4, 5, 6], [1, 0, 0, 1, 0, 1, 1, 0]) == [
            "click: not the raw column, unchanged and in its order"
        ]
