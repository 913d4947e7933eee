"""Device, seeds and TensorFlow's noise."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import types

import numpy as np
import pytest

from towermill.errors import SetupError
from towermill.runtime import device as runtime
from towermill.runtime import gpu as gpu
from towermill.runtime.device import Runtime, resolve, seed_everything


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `resolve` sets is undone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


def with_gpus(monkeypatch: pytest.MonkeyPatch, gpus: int, *packages: str) -> None:
    """A machine with `GPUs` and of RAPIDS just `packages`."""
    find_spec = importlib.util.find_spec

    def found(name: str, *args: object) -> object:
        if name in ("cudf", "dask_cudf", "dask_cuda"):
            return object() if name in packages else None
        return find_spec(name, *args)

    monkeypatch.setattr(gpu, "_gpus_by_nvml", lambda: gpus)
    monkeypatch.setattr(gpu.importlib.util, "find_spec", found)


class TestResolve:
    def test_auto_without_a_gpu(self, monkeypatch):
        with_gpus(monkeypatch, 0, "cudf", "dask_cudf")
        assert resolve() == Runtime("cpu", "none", 0)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""

    def test_auto_without_cudf(self, monkeypatch):
        with_gpus(monkeypatch, 1)
        assert resolve("auto", "local", 3) == Runtime("cpu", "local", 3)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""

    def test_auto_with_both(self, monkeypatch):
        with_gpus(monkeypatch, 1, "cudf", "dask_cudf")
        assert resolve() == Runtime("gpu")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"

    def test_cpu_hides_the_gpus(self, monkeypatch):
        with_gpus(monkeypatch, 1, "cudf", "dask_cudf")
        assert resolve("cpu") == Runtime("cpu")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        assert runtime.gpu_count() == 0

    @pytest.mark.parametrize(
        ("gpus", "packages", "said"),
        [
            (0, ("cudf", "dask_cudf"), "no NVIDIA GPU is visible.*CUDA_VISIBLE_DEVICES is '0'"),
            (1, ("dask_cudf",), r"but cudf is not installed\. .*towermill install gpu`\."),
            (1, (), "cudf and dask_cudf is not installed"),
        ],
    )
    def test_gpu_says_what_is_missing(self, monkeypatch, gpus, packages, said):
        with_gpus(monkeypatch, gpus, *packages)
        with pytest.raises(SetupError, match=said):
            resolve("gpu")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"

    def test_cuda_needs_a_gpu_and_dask_cuda(self, monkeypatch):
        with_gpus(monkeypatch, 0)
        with pytest.raises(SetupError, match="`cluster` cuda needs a GPU"):
            resolve("auto", "cuda")
        with_gpus(monkeypatch, 2, "cudf", "dask_cudf")
        with pytest.raises(
            SetupError, match=r"dask_cuda is not installed\. .*towermill install gpu"
        ):
            resolve("auto", "cuda")
        with_gpus(monkeypatch, 2, "cudf", "dask_cudf", "dask_cuda")
        assert resolve("auto", "cuda") == Runtime("gpu", "cuda")
        with pytest.raises(SetupError, match="`device` is cpu"):
            resolve("cpu", "cuda")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"device": "gpus"}, "`device` should be one of auto, cpu, gpu.*'gpus'.*mean 'gpu'"),
            ({"cluster": "locla"}, "`cluster` should be one of .*'locla'.*mean 'local'"),
            ({"cluster": "10.0.0.1:8786"}, "or the address of a Dask scheduler"),
            ({"seed": -1}, "`seed` should be a whole number.*Received: -1"),
            ({"seed": 2**32}, "`seed`"),
            ({"seed": True}, "`seed`"),
            ({"seed": 1.5}, "`seed`"),
        ],
    )
    def test_wrong_arguments(self, arguments, said):
        with pytest.raises(SetupError, match=said):
            resolve(**arguments)

    def test_too_late_to_hide_the_gpus(self, monkeypatch):
        found = types.ModuleType("merlin.core.has_gpu")
        found.HAS_GPU = True
        monkeypatch.setitem(sys.modules, "merlin.core.has_gpu", found)
        with pytest.raises(SetupError, match="Merlin was imported before and has found a GPU"):
            resolve("cpu")

    def test_merlin_sees_no_gpu_afterwards(self, python):
        python(
            "import sys; from towermill.runtime.device import resolve\n"
            "resolve('cpu')\n"
            "assert not {'tensorflow', 'dask', 'numpy'} & set(sys.modules)\n"
            "from merlin.core.compat import HAS_GPU; assert not HAS_GPU"
        )

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            Runtime().device = "gpu"


class TestSeedEverything:
    def test_python_and_numpy(self):
        drawn = []
        for _ in range(2):
            seed_everything(11, tensorflow=False)
            drawn.append((random.random(), np.random.random()))
        assert drawn[0] == drawn[1]

    @pytest.mark.slow
    def test_tensorflow(self, python):
        done = python(
            "import sys\n"
            "from towermill.runtime.device import resolve, seed_everything\n"
            "resolve('cpu')\n"
            "seed_everything(3)\n"
            "assert 'tensorflow' not in sys.modules\n"
            "for _ in range(2):\n"
            "    seed_everything(3, tensorflow=True)\n"
            "    import tensorflow as tf\n"
            "    print(float(tf.random.uniform(())))\n"
        )
        one, two = done.stdout.split()
        assert one == two


@pytest.mark.slow
class TestTensorflow:
    def test_quiet(self, python):
        code = (
            "import sys\n"
            "from towermill.runtime.device import quiet_tensorflow, resolve\n"
            "resolve('cpu')\n"
            "quiet_tensorflow()\n"
            "import tensorflow as tf\n"
            "print('after', file=sys.stderr)\n"
            "tf.constant(1) + 1\n"
        )
        assert python(code, TF_CPP_MIN_LOG_LEVEL=None).stderr == "after\n"

    def test_what_the_user_has_set_stays(self, python):
        python(
            "import os\n"
            "from towermill.runtime.device import quiet_tensorflow\n"
            "quiet_tensorflow()\n"
            "assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '0'\n"
            "from towermill import merlin\n"
            "assert not merlin.state.around\n",
            TF_CPP_MIN_LOG_LEVEL="0",
        )

    def test_in_a_process_of_one_that_is_quiet(self, python):
        python(
            "from towermill import merlin\n"
            "from towermill.runtime.device import quiet_tensorflow\n"
            "quiet_tensorflow()\n"
            "assert 'tensorflow' in merlin.state.around\n",
            TF_CPP_MIN_LOG_LEVEL="3",
        )

    def test_an_error_in_its_import_is_shown(self, python, tmp_path):
        (tmp_path / "tensorflow.py").write_text(
            "import os\n"
            "os.write(2, b'oneDNN custom operations are on. And so on\\nof use\\n')\n"
            "raise ImportError('broken')"
        )
        done = python(
            "from towermill.runtime.device import quiet_tensorflow\n"
            "quiet_tensorflow()\n"
            "import tensorflow\n",
            check=False,
            TF_CPP_MIN_LOG_LEVEL=None,
        )
        assert done.stderr.startswith("of use\n")
        assert "ImportError: broken" in done.stderr
