"""Whole runs and batch inference on clusters of processes, beside the same without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from distributed import default_client

from towermill.errors import DataError
from towermill.models.build import load_model
from towermill.models.contracts import retriever
from towermill.pipelines import submit
from towermill.pipelines.stages.encode_on_cluster import spread_over_cluster
from towermill.runtime.cluster import cluster_client
from towermill.runtime.device import Runtime

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(trained: Any) -> Iterator[Any]:
    """One worker of one thread, which stages and their tasks share.

    After the run without a cluster, which would else find this one.
    """
    with cluster_client(Runtime(cluster="local"), workers=1) as client:
        yield client


def same(one: Path, other: Path) -> bool:
    files = sorted(path.relative_to(one) for path in one.rglob("*.parquet"))
    assert files
    assert files == sorted(path.relative_to(other) for path in other.rglob("*.parquet"))
    return all(pl.read_parquet(one / f).equals(pl.read_parquet(other / f)) for f in files)


class TestSubmit:
    def test_equals_a_run_without_a_cluster(
        self, client: Any, trained: Any, tmp_path: Path
    ) -> None:
        steps = submit(client, trained.recipe, tmp_path).result(timeout=280)
        folders = {step.stage.name: step.folder for step in steps}
        assert [folder.name for folder in folders.values()] == [
            folder.name for folder in trained.stages.values()
        ]
        for name in ("process", "export"):
            assert same(folders[name], trained.stages[name]), name
        metrics = [stages["evaluate"] / "metrics.json" for stages in (folders, trained.stages)]
        assert json.loads(metrics[0].read_text()) == json.loads(metrics[1].read_text())
        assert (tmp_path / "tiny" / "latest" / "bundle" / "manifest.json").is_file()

        def loaded() -> bool:
            import sys

            return "tensorflow" in sys.modules

        assert not any(client.run(loaded).values())  # it was, in processes that have ended


class TestEncoding:
    def test_is_bit_for_bit_that_of_this_process(
        self, client: Any, trained: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retriever, "ENCODE_ROWS", 20)
        runtime = Runtime(cluster=default_client().scheduler.address)
        stages, config = trained.stages, trained.recipe.model
        spread = spread_over_cluster(stages, trained.recipe.model, runtime)
        data, alone = load_model(stages["process"], stages["train"], config)
        _, over = load_model(stages["process"], stages["train"], config)
        over.spread = spread
        users = data.scan("train").collect()
        assert data.items.height % 20  # the last slice is smaller
        np.testing.assert_array_equal(over.embed_items(data.items), alone.embed_items(data.items))
        np.testing.assert_array_equal(over.embed_queries(users), alone.embed_queries(users))

        def models() -> int:
            from towermill.pipelines.stages import encode_on_cluster as encoding

            return len(encoding._models)

        assert set(client.run(models).values()) == {1}  # each loaded it once

    def test_error_of_a_worker(self, client: Any, trained: Any, tmp_path: Path) -> None:
        stages = {**trained.stages, "train": tmp_path}
        spread = spread_over_cluster(stages, trained.recipe.model, Runtime(cluster="tcp://x"))
        assert spread is not None
        with pytest.raises(DataError, match="Expected the weights of this model"):
            list(spread("item", [pl.DataFrame()]))


class TestWithoutCluster:
    def test_nothing_is_spread(self, trained: Any) -> None:
        assert spread_over_cluster(trained.stages, trained.recipe.model, Runtime()) is None


class TestKilledWorker:
    """Kill -9 workers while `process` fits; it ends right, or says what to do."""

    RECIPE = """
source: {kind: synthetic, users: 3000, items: 900, interactions: 100000}
runtime: {cluster: local, workers: 2}
"""

    def command(self, folder: Path, *more: str) -> subprocess.Popen[str]:
        code = "from towermill.cli.app import main; main()"
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, "run", "r.yaml", "--to", "process", *more],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_in_process(self, tmp_path: Path) -> None:
        (tmp_path / "r.yaml").write_text(self.RECIPE)
        with self.command(tmp_path) as process:
            deadline = time.monotonic() + 150
            while not list(tmp_path.glob("runs/r/process/*.partial/scratch/test.parquet")):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
            killed = 0
            for _ in range(2):
                killed += kill_a_worker(process.pid)
                time.sleep(3)
            _, err = process.communicate(timeout=200)
        assert killed
        if process.returncode:
            assert process.returncode == 2, err
            assert "Stage process: " in err
            assert "To resume, repeat the call" in err
            assert not list(tmp_path.glob("runs/r/process/*/manifest.json"))
        with self.command(tmp_path) as again:
            _, err = again.communicate(timeout=200)
        assert again.returncode == 0, err
        with self.command(tmp_path, "--cluster", "none", "--out", "alone") as alone:
            _, err = alone.communicate(timeout=200)
        assert alone.returncode == 0, err
        (one,), (other,) = (list(tmp_path.glob(f"{o}/r/process/*/")) for o in ("runs", "alone"))
        assert one.name == other.name
        assert same(one, other)


def kill_a_worker(pid: int) -> int:
    """Kill the worker of this run that has worked the most; return how many were killed.

    Not one that is starting: its nanny would wait for it until the cluster ends.
    """
    workers = {}
    for child in psutil.Process(pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                workers[child.pid] = sum(child.cpu_times()[:2])  # seconds
        except psutil.Error:
            continue
    busiest = max(workers, key=lambda pid: workers[pid], default=0)
    if not busiest or workers[busiest] < 2:
        return 0
    os.kill(busiest, signal.SIGKILL)
    return 1
