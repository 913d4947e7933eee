"""Merlin in Dask's own processes, which have imported nothing beforehand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towermill.runtime.plugins import register

import nvtabular as nvt  # isort: skip
from distributed import Client, LocalCluster  # isort: skip
from merlin.core.utils import Serial  # isort: skip
from nvtabular import ops  # isort: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    n = 4000
    frame = pd.DataFrame(
        {
            "item": rng.zipf(1.4, n).astype("float64") % 300,
            "words": [[f"t{i}" for i in rng.integers(0, 25, k)] for k in rng.integers(0, 4, n)],
            "real": rng.normal(size=n),
        }
    )
    frame.loc[::31, "item"] = None
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    frame.to_parquet(path, row_group_size=500)
    return path


def fit_transform(log: Path, out: Path) -> pd.DataFrame:
    dataset = nvt.Dataset(str(log), engine="parquet", row_groups_per_part=1, cpu=True)
    cats = ["item", "words"] >> ops.Categorify(out_path=str(out / "cats"), split_out=2)
    workflow = nvt.Workflow(cats + (["real"] >> ops.Normalize()))
    workflow.fit(dataset)
    workflow.transform(dataset).to_parquet(str(out / "data"), output_files=2)
    written = [pd.read_parquet(path) for path in (out / "data").glob("*.parquet")]
    return pd.concat(written).sort_values("real", ignore_index=True)


def assert_same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    np.testing.assert_allclose(a["real"], b["real"], rtol=1e-5)
    # Ties in frequency may be broken otherwise.
    for column in ("item", "words"):
        x, y = a[column].explode().dropna(), b[column].explode().dropna()
        assert x.value_counts().tolist() == y.value_counts().tolist()
        assert (x.to_numpy() < 3).tolist() == (y.to_numpy() < 3).tolist()


def loaded(client: Client) -> set[tuple[str, ...]]:
    """What the workers have imported. (The function within travels by value.)"""

    def look() -> tuple[str, ...]:
        import sys

        names = ("towermill.merlin", "nvtabular", "tensorflow")
        return tuple(name for name in names if name in sys.modules)

    return set(client.run(look).values())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # 0 is spawned, not forked: it has imported only what Dask itself does.
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def alone(log: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    with Serial():
        return fit_transform(log, tmp_path_factory.mktemp("alone"))


class TestLocalCluster:
    def test_workers_from_before_and_after(self, cluster, log, alone, tmp_path):
        with Client(cluster) as client:
            assert loaded(client) == {()}
            register(client)
            register(client)  # does nothing
            assert loaded(client) == {("towermill.merlin",)}
            assert_same(fit_transform(log, tmp_path / "one"), alone)

            first = set(client.scheduler_info()["workers"])
            cluster.scale(2)
            client.wait_for_workers(2, timeout=60)
            assert set(client.scheduler_info()["workers"]) > first
            client.retire_workers(list(first))  # all is done by the one that joined later
            assert_same(fit_transform(log, tmp_path / "late"), alone)
            assert not first & set(client.scheduler_info()["workers"])
            assert loaded(client) == {("towermill.merlin", "nvtabular")}


def _start(*command: str, folder: Path) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DASK_")}
    with (folder / "dask.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class TestClusterOfSomeoneElse:
    @pytest.mark.parametrize("preload", [False, True], ids=["registered", "preloaded"])
    def test_scheduler_and_worker_are_other_processes(self, log, alone, tmp_path, preload):
        more = ["--preload", "towermill.merlin"] if preload else []
        where = tmp_path / "scheduler.json"
        file = ["--scheduler-file", str(where)]
        processes = []
        try:
            processes.append(
                _start("scheduler", *file, "--port", "0", "--no-dashboard", *more, folder=tmp_path)
            )
            processes.append(
                _start("worker", *file, "--nthreads", "1", "--no-dashboard", *more, folder=tmp_path)
            )
            deadline = time.monotonic() + 60
            while not where.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            with Client(scheduler_file=str(where), timeout=60) as client:
                client.wait_for_workers(1, timeout=60)
                if preload:
                    assert loaded(client) == {("towermill.merlin",)}
                else:
                    register(client)
                assert_same(fit_transform(log, tmp_path / "out"), alone)
        finally:
            for process in reversed(processes):
                os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                process.wait(30)
