"""What the driver tells, and in which order who takes what of the memory; without a GPU."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from towermill.errors import SetupError
from towermill.runtime import gpu as gpu
from towermill.runtime.gpu import GPU, Memory, claim, gpu_count

GIB = 2**30


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `claim` sets is undone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("TF_GPU_ALLOCATOR", "")
    monkeypatch.delenv("TF_GPU_ALLOCATOR")
    monkeypatch.setattr(gpu, "_claimed", {})


class TestGPUCount:
    @pytest.mark.parametrize(
        ("visible", "expected"),
        [(None, 4), ("", 0), (" ", 0), ("-1", 0), ("0", 1), ("0,2", 2), ("1,-1,2", 1)],
    )
    def test_visible_devices(
        self, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: int
    ) -> None:
        monkeypatch.setattr(gpu, "_gpus_by_nvml", lambda: 4)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpu_count() == expected

    def test_driver_folder(self, tmp_path: Any) -> None:
        assert gpu._gpus_by_driver(tmp_path / "none") == 0
        (tmp_path / "0000:01:00.0").mkdir()
        assert gpu._gpus_by_driver(tmp_path) == 1


class TestDriver:
    """NVIDIA's library, with and without a driver below it."""

    @pytest.fixture
    def nvml(self, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
        module: Any = types.ModuleType("pynvml")
        module.NVMLError = type("NVMLError", (Exception,), {})
        module.open = 0

        def opened(by: int) -> None:
            module.open += by

        module.nvmlInit, module.nvmlShutdown = (lambda: opened(1)), (lambda: opened(-1))
        module.nvmlSystemGetDriverVersion = lambda: b"580.1"
        module.nvmlDeviceGetCount = lambda: 2
        module.nvmlDeviceGetHandleByIndex = int
        module.nvmlDeviceGetName = lambda handle: f"GPU {handle}"
        sizes = types.SimpleNamespace(total=8 * GIB, free=7 * GIB, used=GIB)
        rates = types.SimpleNamespace(gpu=93, memory=40)
        module.nvmlDeviceGetUtilizationRates = lambda handle: rates
        module.nvmlDeviceGetMemoryInfo = lambda handle: sizes
        monkeypatch.setitem(sys.modules, "pynvml", module)
        return module

    def test_tells_gpus_and_version(self, nvml: Any) -> None:
        assert gpu.driver() == "580.1"
        assert gpu.gpus() == [GPU(f"GPU {i}", 8 * GIB, 7 * GIB) for i in range(2)]
        assert gpu._gpus_by_nvml() == 2
        assert gpu.utilisation() == [(93, GIB)] * 2
        assert nvml.open == 0

    def test_library_without_a_driver(self, nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise nvml.NVMLError("no driver")

        nvml.nvmlInit = fail
        monkeypatch.setattr(gpu, "_gpus_by_driver", lambda: 0)
        assert (gpu.driver(), gpu.gpus(), gpu._gpus_by_nvml()) == ("", [], 0)

    def test_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
        monkeypatch.setattr(gpu, "_gpus_by_driver", lambda: 3)
        assert (gpu.driver(), gpu.gpus(), gpu._gpus_by_nvml()) == ("", [], 3)
        assert gpu.utilisation() == []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is asked of rmm, cuDF and TensorFlow, in order; a GPU of 10 GiB."""
    told: list[Any] = []

    def note(*call: Any) -> Any:
        told.append(call)
        return call

    rmm: Any = types.ModuleType("rmm")
    rmm.mr = types.SimpleNamespace(
        CudaMemoryResource=lambda: "driver",
        CudaAsyncMemoryResource=lambda: "as it comes",
        PoolMemoryResource=lambda below, initial_pool_size: note("pool", initial_pool_size),
        set_current_device_resource=lambda resource: note("cuDF takes", resource),
    )
    cudf: Any = types.ModuleType("cudf")
    cudf.set_option = lambda key, value: note("cudf", key, value)
    tf: Any = types.ModuleType("tensorflow")
    one = types.SimpleNamespace(name="GPU:0")
    tf.config = types.SimpleNamespace(
        list_physical_devices=lambda kind: [one],
        list_logical_devices=lambda kind: note("tensorflow starts"),
        LogicalDeviceConfiguration=lambda memory_limit: memory_limit,
        set_logical_device_configuration=lambda dev, limits: note("limit", *limits),
        experimental=types.SimpleNamespace(set_memory_growth=lambda dev, on: note("growth", on)),
    )
    for name, module in {"rmm": rmm, "cudf": cudf, "tensorflow": tf}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpu, "gpus", lambda: [GPU("H100", 10 * GIB, 9 * GIB)])
    return told


class TestClaim:
    def test_features_have_a_pool_and_no_tensorflow(self, calls: list[Any]) -> None:
        claim("features")
        assert calls == [
            ("pool", 5 * GIB),
            ("cuDF takes", ("pool", 5 * GIB)),
            ("cudf", "spill", True),
        ]
        assert "TF_GPU_ALLOCATOR" not in os.environ

    def test_a_model_grows_and_cudf_takes_what_it_needs(self, calls: list[Any]) -> None:
        claim("model")
        assert calls == [
            ("cuDF takes", "as it comes"),
            ("cudf", "spill", True),
            ("growth", True),
            ("tensorflow starts",),
        ]
        assert os.environ["TF_GPU_ALLOCATOR"] == "cuda_malloc_async"

    def test_both_cudf_before_tensorflow(self, calls: list[Any]) -> None:
        claim("both", Memory("2GB", 0.25, spill=False))
        assert calls == [
            ("pool", 2_000_000_000 // 256 * 256),
            ("cuDF takes", ("pool", 2_000_000_000 // 256 * 256)),
            ("cudf", "spill", False),
            ("limit", 2560),
            ("tensorflow starts",),
        ]

    def test_tables_stay_on_the_host_above_a_share(
        self, calls: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gpu, "_claimed", {})
        assert gpu.table_limit() == 0
        claim("model", Memory(host_tables=0.1))
        assert gpu.table_limit() == GIB
        claim("model", Memory(host_tables=0))
        assert gpu.table_limit() == 0

    def test_no_pool(self, calls: list[Any]) -> None:
        claim("features", Memory(rmm_pool=0))
        assert calls[0] == ("cuDF takes", "as it comes")

    def test_what_the_user_has_set_stays(
        self, calls: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TF_GPU_ALLOCATOR", "")
        claim("model")
        assert os.environ["TF_GPU_ALLOCATOR"] == ""

    @pytest.mark.parametrize(
        ("memory", "key"),
        [(Memory("11GB"), "runtime.rmm_pool"), (Memory(0, "1TB"), "runtime.tensorflow_memory")],
    )
    def test_more_than_the_gpu_has(self, calls: list[Any], memory: Memory, key: str) -> None:
        with pytest.raises(SetupError, match=rf"`{key}` should fit the GPU, which has 10.0 GiB"):
            claim("both", memory)

    def test_what_else_is_on_the_gpu(self, calls: list[Any]) -> None:
        def fail(*arguments: Any, **keywords: Any) -> None:
            raise MemoryError("out_of_memory")

        sys.modules["rmm"].mr.PoolMemoryResource = fail  # type: ignore[attr-defined]
        with pytest.raises(
            SetupError, match=r"should have 5.0 GiB.*Lower `runtime.rmm_pool` \(now"
        ):
            claim("features")

    def test_too_late_for_tensorflow(self, calls: list[Any]) -> None:
        def fail(*arguments: Any) -> None:
            raise RuntimeError("Physical devices cannot be modified after being initialized")

        sys.modules["tensorflow"].config.experimental.set_memory_growth = fail  # type: ignore[attr-defined]
        with pytest.raises(SetupError, match="can no longer be set: Physical devices"):
            claim("model")


@pytest.mark.slow
def test_merlins_own_limit_is_refused_once_tensorflow_has_started(python: Any) -> None:
    """As on a GPU: the one processor is split in two where `claim` starts TensorFlow."""
    python(
        "import warnings\n"
        "from towermill.runtime.gpu import start_tensorflow_on_gpu\n"
        "from towermill.runtime.device import resolve\n"
        "resolve('cpu')\n"
        "warnings.simplefilter('error', UserWarning)\n"
        "assert start_tensorflow_on_gpu() == 0\n"
        "import tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "try:\n"
        "    tf.config.set_logical_device_configuration(\n"
        "        cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "except RuntimeError as error:\n"
        "    warnings.warn(str(error))  # as Merlin does\n"
        "else:\n"
        "    raise AssertionError('a limit was set after all')\n",
        TF_GPU_ALLOCATOR=None,
    )


@pytest.mark.gpu
def test_growth_on_a_gpu(device: str, python: Any) -> None:
    if device == "cpu":
        pytest.skip("nothing to grow")
    python(
        "from towermill.runtime.gpu import claim, gpus\n"
        "claim('model')\n"
        "import merlin.models.tf, tensorflow as tf\n"
        "tf.ones([64, 64]) @ tf.ones([64, 64])\n"
        "gpu = gpus()[0]\n"
        "assert gpu.free > 0.5 * gpu.memory, gpu\n"
    )
