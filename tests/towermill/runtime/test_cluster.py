"""Clusters of cores, of GPUs (stand-ins: there is no GPU here) and of someone else."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from distributed import Client, KilledWorker, get_client
from distributed.client import FutureCancelledError

from towermill.errors import SetupError, StageError
from towermill.runtime import cluster
from towermill.runtime.cluster import cluster_client, cluster_failures
from towermill.runtime.cores import cores
from towermill.runtime.device import Runtime, resolve
from towermill.runtime.plugins import register
from towermill.runtime.versions import differences, versions


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `resolve` sets is undone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of two workers, whose files are in a folder of their own."""
    folder = tmp_path_factory.mktemp("fast")
    local = Runtime(cluster="local")
    with cluster_client(local, workers=2, local_directory=str(folder)) as client:
        yield client


@pytest.mark.slow
class TestLocal:
    # Functions within a test travel to workers by value: it is no module there.

    def test_workers(self, client: Any) -> None:
        def look() -> tuple[bool, int]:
            import sys

            import polars

            # Merlin's patches make this module.
            return "dask.dataframe.optimize" in sys.modules, polars.thread_pool_size()

        threads = max(cores() // 2, 1)
        assert list(client.run(look).values()) == [(True, threads)] * 2
        assert set(client.nthreads().values()) == {1}

    def test_files_of_workers(self, client: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            assert Path(worker["local_directory"]).is_relative_to(
                tmp_path_factory.getbasetemp() / "fast0"
            )

    def test_its_address(self, client: Any) -> None:
        with cluster_client(resolve("cpu", client.scheduler.address)) as other:
            assert other.submit(sum, [1, 2]).result(timeout=30) == 3
        assert client.submit(sum, [3, 4]).result(timeout=30) == 7  # it is still there

    def test_merlin_uses_it_whatever_was_said_before(self, client: Any) -> None:
        from merlin.core.utils import Serial, global_dask_client

        with Serial(), cluster_client(resolve("cpu", client.scheduler.address)) as other:
            assert global_dask_client() is other

    def test_vocabularies_are_cleaned_from_workers(self, client: Any) -> None:
        from merlin.dag.executors import DaskExecutor

        def fill(dask_worker: Any) -> None:
            dask_worker.worker_cache = {"cats": {"path": 1}, "stats": {}}

        def held(dask_worker: Any) -> Any:
            return dask_worker.worker_cache

        client.run(fill)
        DaskExecutor()._clear_worker_cache()
        assert list(client.run(held).values()) == [{}, {}]

    def test_other_versions_of_all(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        here = os.getpid()

        def told() -> dict[str, str]:
            import os

            from towermill.runtime.versions import versions

            return versions() | ({"numpy": "1.0"} if os.getpid() == here else {})

        # The scheduler is of this process, and tells the same.
        monkeypatch.setattr("towermill.runtime.plugins.versions", told)
        with pytest.raises(SetupError, match="These differ") as error:
            register(client)
        row = next(line for line in str(error.value).splitlines() if "numpy" in line)
        assert row.split()[:3] == ["numpy", "1.0", versions()["numpy"]]
        assert row.count("tcp://") == 2


@pytest.mark.slow
class TestLateWorker:
    """A worker that joins later, with another version of Polars as far as it can tell."""

    def test_is_refused(self, client: Any, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.metadata as m\n"
            "real = m.version\n"
            "m.version = lambda name: '0.1' if name == 'polars' else real(name)\n"
        )
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        before = set(client.scheduler_info(n_workers=-1)["workers"])
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dask", "worker", client.scheduler.address),
                *("--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )  # It ends by itself, and its nanny does not start it again.
        assert "This worker is refused" in done.stderr
        assert any(
            line.split()[:3] == ["polars", versions()["polars"], "0.1"]
            for line in done.stderr.splitlines()
            if line.strip()
        )
        assert set(client.scheduler_info(n_workers=-1)["workers"]) == before


class TestDifferences:
    HERE: ClassVar = {"python": "3.11", "numpy": "2.4.1", "cudf": "-"}

    def test_none(self) -> None:
        assert differences(self.HERE, {"a": self.HERE, "b": {**self.HERE, "cudf": "26.6"}}) == ""

    def test_table(self) -> None:
        there = {f"tcp://{i}": {**self.HERE, "numpy": "2.3"} for i in range(5)}
        table = differences(self.HERE, {**there, "last": {"python": "3.11", "numpy": "2.4.1"}})
        assert table.splitlines() == [
            "  package  here   there  at",
            "  numpy    2.4.1  2.3    tcp://0, tcp://1, tcp://2 and 2 more",
        ]

    def test_what_is_missing_there(self) -> None:
        assert differences(self.HERE, {"x": {"python": "3.11"}}).split()[-4:] == [
            *("numpy", "2.4.1", "-", "x")
        ]

    def test_versions_of_this_process(self) -> None:
        found = versions()
        assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
        assert found["towermill"].startswith("0.1.0 (code ")
        assert found["tensorflow"].startswith("2.")


def current() -> Any:
    try:
        return get_client()
    except ValueError:
        return None


class TestAddress:
    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
    def test_of_nobody(self, address: str) -> None:
        before = current()
        with (
            pytest.raises(SetupError, match=f"No Dask scheduler answered at {address} "),
            cluster_client(Runtime(cluster=address), timeout=0.5),
        ):
            pass
        # Nobody who computes later waits for it.
        assert current() is before

    def test_without_workers(self) -> None:
        with (
            Client(n_workers=0, processes=False, dashboard_address=":0") as alone,
            pytest.raises(SetupError, match=r"Expected a worker .*Start some with `dask worker"),
            cluster_client(Runtime(cluster=alone.scheduler.address), timeout=0.5),
        ):
            pass

    def test_none(self) -> None:
        with cluster_client(Runtime()) as client:
            assert client is None


class TestRegister:
    class Broken:
        def __init__(self, message: str) -> None:
            self.message = message

        def run(self, function: Any) -> None:
            raise RuntimeError(self.message)

    def test_towermill_is_not_installed_there(self) -> None:
        with pytest.raises(SetupError, match="worker and the scheduler need this version"):
            register(self.Broken("ModuleNotFoundError(\"No module named 'towermill'\")"))

    def test_another_error_stays_what_it_is(self) -> None:
        with pytest.raises(RuntimeError, match="something else"):
            register(self.Broken("something else"))


class TestFailures:
    def test_of_dask_are_named(self) -> None:
        lost = FutureCancelledError("key", "scheduler-connection-lost")
        for error in (TimeoutError("late"), OSError("x"), lost):
            kind = OSError if type(error) is OSError else StageError
            with pytest.raises(kind), cluster_failures():
                raise error

    def test_a_killed_worker(self) -> None:
        last = types.SimpleNamespace(address="tcp://1")
        with (
            pytest.raises(StageError, match=r"broke off \(KilledWorker: .*'fit'.*memory"),
            cluster_failures(),
        ):
            raise KilledWorker("fit", last, 3)

    def test_what_was_cancelled_by_its_owner(self) -> None:
        with pytest.raises(FutureCancelledError), cluster_failures():
            raise FutureCancelledError("key", None)


class TestCuda:
    """As dask-cuda 26.6 documents its arguments; the cluster itself is a stand-in."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        from distributed import LocalCluster

        asked: dict[str, Any] = {}

        class LocalCUDACluster(LocalCluster):  # type: ignore[misc]
            def __init__(self, **options: Any) -> None:
                import dask

                asked.update(options, environ=dict(dask.config.get("distributed.nanny.environ")))
                super().__init__(
                    n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
                )

        stand_in = types.ModuleType("dask_cuda")
        stand_in.LocalCUDACluster = LocalCUDACluster  # type: ignore[attr-defined]
        stand_in.__spec__ = types.SimpleNamespace(name="dask_cuda")  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, "dask_cuda", stand_in)
        monkeypatch.setattr(cluster, "gpu_count", lambda: 2)
        monkeypatch.setattr(cluster, "cores", lambda: 9)
        return asked

    def test_defaults(self, asked: dict[str, Any]) -> None:
        with cluster_client(Runtime("gpu", "cuda")) as client:
            assert client.submit(sum, [1]).result(timeout=30) == 1
        scratch = asked.pop("local_directory")
        assert "towermill-dask-" in scratch
        assert not Path(scratch).exists()
        assert asked.pop("environ")["POLARS_MAX_THREADS"] == "4"
        assert asked == {
            **{"n_workers": 2, "enable_cudf_spill": True, "rmm_pool_size": 0.5},
            **{"device_memory_limit": 0.8, "protocol": "tcp", "resources": {"GPU": 1}},
            "dashboard_address": ":0",
        }

    def test_options(self, asked: dict[str, Any], tmp_path: Path) -> None:
        fast = str(tmp_path)
        options: Any = {"workers": 1, "rmm_pool": 0, "device_memory_limit": "10GB"}
        with cluster_client(Runtime("gpu", "cuda"), local_directory=fast, **options):
            pass
        assert asked["n_workers"] == 1
        assert asked["rmm_pool_size"] is None
        assert asked["device_memory_limit"] == "10GB"
        assert asked["local_directory"] == fast
        assert tmp_path.is_dir()

    def test_ucx_needs_its_package(self, asked: dict[str, Any]) -> None:
        with (
            pytest.raises(SetupError, match="install distributed-ucxx-cu12, or use protocol tcp"),
            cluster_client(Runtime("gpu", "cuda"), protocol="ucx"),
        ):
            pass

    def test_without_dask_cuda(self) -> None:
        with (
            pytest.raises(SetupError, match=r"dask_cuda is not installed.*towermill install gpu"),
            cluster_client(Runtime("gpu", "cuda")),
        ):
            pass
