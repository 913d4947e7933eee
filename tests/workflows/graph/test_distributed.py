"""Fitting and writing on a Dask cluster: the same bytes as without one, whoever dies on the way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from nvtabular import ops as stock

from towermill.runtime.plugins import register
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    n = 4000
    table = pa.table(
        {
            "item": pa.array(
                [None if i % 31 == 0 else int(v) for i, v in enumerate(rng.zipf(1.4, n))]
            ),
            "other": rng.integers(0, 3000, n),
            "words": [[f"t{i}" for i in rng.integers(0, 25, k)] for k in rng.integers(0, 4, n)],
            "real": rng.normal(size=n),
        }
    )
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(table, path, row_group_size=100)
    return path


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers of one thread each."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        register(client)
        yield client


def slow() -> Any:
    """Return a function that travels by value: the workers cannot import the tests."""

    def slowly(column: Any) -> Any:
        time.sleep(0.02)
        return column

    return slowly


def run(path: Path, out: Path) -> dict[str, bytes]:
    """Fit and write; return every file."""
    encoded = [["item", "other"], "words"] >> stock.Categorify(out_path=str(out / "fit"))
    numbers = ["real"] >> stock.LambdaOp(slow()) >> stock.Normalize()
    workflow = Workflow(encoded + numbers)
    workflow.fit(open_dataset(path, "1B", cpu=True))
    write(workflow, open_dataset(path, "1B", cpu=True), out / "data", file_size="20kB")
    files = [*(out / "fit" / "categories").iterdir(), *(out / "data").glob("*.parquet")]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def alone(path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What this process writes without a cluster."""
    return run(path, tmp_path_factory.mktemp("alone"))


def test_same_bytes(alone: dict[str, bytes], client: Client, path: Path, tmp_path: Path) -> None:
    assert len(alone) > 6
    assert run(path, tmp_path) == alone


def test_same_bytes_though_a_worker_is_killed(
    alone: dict[str, bytes], client: Client, path: Path, tmp_path: Path
) -> None:
    pids = client.run(os.getpid)
    killer = threading.Timer(0.5, os.kill, (next(iter(pids.values())), signal.SIGKILL))
    killer.start()
    assert run(path, tmp_path) == alone
    killer.join()
    assert set(client.run(os.getpid).values()) != set(pids.values())
