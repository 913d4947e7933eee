"""When the patches are applied, and what is said where they cannot be."""

from __future__ import annotations

import importlib.util
import sys
import threading
import warnings

import pytest

from towermill.errors import SetupError
from towermill.merlin import activation as merlin
from towermill.merlin import imports, keras


class TestArm:
    def test_importing_towermill_imports_nothing_heavy(self, python):
        python(
            "import sys, towermill\n"
            "heavy = {'tensorflow', 'tf_keras', 'keras', 'dask', 'distributed', 'pandas', 'numpy',"
            " 'nvtabular', 'merlin.core'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
        )

    def test_arming_twice_watches_once(self):
        imports.arm()
        imports.arm()
        assert sum(isinstance(f, imports._Watcher) for f in sys.meta_path) == 1

    def test_the_environment_is_set_by_the_import_that_reads_it(self, python):
        python(
            "import os, towermill\n"
            "names = ['TF_USE_LEGACY_KERAS', 'DASK_DATAFRAME__CONVERT_STRING']\n"
            "assert not any(name in os.environ for name in names)\n"
            "import dask\n"
            "assert [os.environ.get(name) for name in names] == [None, 'False']\n"
            "assert dask.config.get('dataframe.convert-string') is False"
        )

    def test_a_module_not_of_merlin_is_left_alone(self):
        watcher = next(f for f in sys.meta_path if isinstance(f, imports._Watcher))
        assert watcher.find_spec("json", None) is None
        assert watcher.find_spec("tensorflow.python", []) is None


class TestActivate:
    def test_nvtabular_needs_no_tensorflow(self, python):
        # Every Dask worker would load it.
        done = python(
            "import sys, warnings\n"
            "warnings.simplefilter('error', UserWarning)\n"
            "warnings.simplefilter('error', FutureWarning)\n"
            "import towermill, nvtabular as nvt, numpy as np, pandas as pd\n"
            "from merlin.table import TensorTable\n"
            "import merlin.io, merlin.schema, merlin.dag\n"
            "d = nvt.Dataset(pd.DataFrame({'a': ['x', 'y', 'x'], 'l': [[1], [2, 3], [4]]}))\n"
            "w = nvt.Workflow(['a', 'l'] >> nvt.ops.Categorify())\n"
            "print(w.fit_transform(d).to_ddf().compute().a.tolist())\n"
            "TensorTable({'a': np.array([1, 2])})\n"
            "assert not {'tensorflow', 'torch', 'keras', 'tf_keras'} & set(sys.modules)\n"
        )
        assert done.stdout.strip() == "[3, 4, 3]"
        assert done.stderr == ""

    @pytest.mark.slow
    def test_tensorflow_is_there_for_merlin_once_imported(self, python):
        # With tritonclient at hand, whose dtypes are whole numbers that TensorFlow's are equal to.
        assert importlib.util.find_spec("tritonclient")
        python(
            "import towermill, nvtabular\n"
            "import merlin.dtypes as md\n"
            "from merlin.table import TensorColumn, TensorTable, TensorflowColumn\n"
            "assert TensorflowColumn.array_type() is None\n"
            "import tensorflow as tf\n"
            "assert md.dtype(tf.int32) == md.int32\n"
            "assert md.float32.to('tensorflow') == tf.float32\n"
            "assert TensorflowColumn.array_type() is tf.Tensor\n"
            "table = TensorTable({'a': tf.constant([1, 2])})\n"
            "assert isinstance(table['a'], TensorflowColumn)\n"
            "assert table['a'].dtype == md.int32\n"
            "from merlin.core.compat.tensorflow import configure_tensorflow\n"
            "assert callable(configure_tensorflow())\n"
        )

    def test_pytorch_is_not_imported_but_recognised_once_it_is(self, python, tmp_path):
        # A stand-in, since PyTorch is not among the requirements.
        names = ["bool", "float16", "float32", "float64", *[f"int{b}" for b in (8, 16, 32, 64)]]
        lines = [f"{name} = object()" for name in [*names, "uint8"]]
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("\n".join([*lines, "class Tensor: ..."]))
        python(
            "import sys, towermill, nvtabular, merlin.dtypes as md\n"
            "assert 'torch' not in sys.modules\n"
            "import torch\n"
            "from merlin.dtypes.registry import _dtype_registry\n"
            "assert _dtype_registry.mappings['torch'].to_merlin(torch.int16) == md.int16"
        )

    def test_any_order_of_imports(self, python):
        python(
            "import pandas, dask.dataframe, towermill\n"
            "import dask\n"
            "from merlin.schema import Schema, Tags\n"
            "import nvtabular\n"
            "assert dask.config.get('dataframe.convert-string') is False"
        )

    def test_only_once(self):
        merlin.activate()
        import dask.dataframe as dd
        from dask.highlevelgraph import HighLevelGraph

        before = HighLevelGraph.from_collections.__func__, dd.DataFrame.sort_values
        merlin.activate()
        assert (HighLevelGraph.from_collections.__func__, dd.DataFrame.sort_values) == before

    def test_threads_wait_for_the_first(self, monkeypatch):
        calls: list[int] = []
        begun = threading.Event()

        def patch() -> None:
            begun.set()
            calls.append(len(calls))

        monkeypatch.setattr(merlin, "done", set())
        threads = [threading.Thread(target=merlin._once, args=("a stage", patch)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert begun.is_set()
        assert calls == [0]

    def test_threads_that_import_at_the_same_time(self, python):
        python(
            "import threading, importlib, towermill\n"
            "names = ['nvtabular', 'dask.dataframe', 'merlin.io', 'merlin.schema', 'dask']\n"
            "errors = []\n"
            "def load(name):\n"
            "    try:\n"
            "        importlib.import_module(name)\n"
            "    except BaseException as error:\n"
            "        errors.append(error)\n"
            "threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in names]\n"
            "[t.start() for t in threads]\n"
            "[t.join(60) for t in threads]\n"
            "assert not any(t.is_alive() for t in threads), 'deadlock'\n"
            "assert not errors, errors"
        )


class TestVersions:
    def test_what_is_installed_was_tested(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            merlin.warn_of_untested_versions(merlin.TESTED)

    def test_another_version_is_named_once(self, monkeypatch):
        monkeypatch.setitem(merlin.TESTED, "pandas", ("1.5", "1.6"))
        with pytest.warns(UserWarning, match="tested with") as caught:
            merlin.warn_of_untested_versions(["pandas", "pyarrow", "no-such-package"])
        import pandas as pd

        assert [str(w.message).partition(";")[0] for w in caught] == [
            f"pandas {pd.__version__} is installed"
        ]
        assert "pandas 1.5 and 1.6" in str(caught[0].message)

    def test_a_prefix_ends_at_a_dot(self, monkeypatch):
        monkeypatch.setitem(merlin.TESTED, "pandas", ("2.30", "2"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            merlin.warn_of_untested_versions(["pandas"])
        monkeypatch.setitem(merlin.TESTED, "pandas", ("2.",))
        with pytest.warns(UserWarning, match="tested with"):
            merlin.warn_of_untested_versions(["pandas"])

    def test_in_a_process_of_its_own(self, python):
        done = python(
            "import towermill.merlin.activation as m\n"
            "m.TESTED['nvtabular'] = ('22.1',)\n"
            "import nvtabular, merlin.io\n"
        )
        assert done.stderr.count("UserWarning") == 1
        assert "nvtabular 23.8.0 is installed" in done.stderr


@pytest.mark.slow
class TestKeras3:
    def test_tensorflow_before_towermill_is_mended_if_keras_is_untouched(self, python):
        python(
            "import tensorflow as tf, towermill\n"
            "import merlin.models.tf as mm\n"
            "from tensorflow.keras.layers import Dense\n"
            "import tf_keras\n"
            "assert issubclass(mm.Model, tf_keras.Model)\n"
            "assert issubclass(Dense, tf_keras.layers.Layer)\n"
            "assert tf.keras.layers.Dense(1).__module__.startswith('tf_keras')"
        )

    def test_keras_3_in_use_is_too_late(self, python):
        done = python(
            "import tensorflow as tf\n"
            "tf.keras.layers.Dense(1)\n"
            "import towermill\n"
            "from towermill.errors import SetupError\n"
            "for _ in range(2):\n"
            "    try:\n"
            "        import merlin.models.tf\n"
            "    except SetupError as error:\n"
            "        print(error)\n"
        )
        said = done.stdout.strip().splitlines()
        assert len(said) == 2
        assert "has loaded Keras 3 (keras._tf_keras.keras)" in said[0]
        assert "TF_USE_LEGACY_KERAS=1" in said[0]
        assert "`import towermill` before tensorflow" in said[0]

    def test_the_environment_says_keras_3(self, python):
        done = python(
            "import towermill, merlin.models.tf",
            check=False,
            TF_USE_LEGACY_KERAS="0",
        )
        assert done.returncode == 1
        assert "TF_USE_LEGACY_KERAS is '0' in the environment" in done.stderr


def test_tf_keras_missing_is_said(monkeypatch):
    find_spec = keras.importlib.util.find_spec
    monkeypatch.setattr(
        keras.importlib.util,
        "find_spec",
        lambda name, *args: None if name == "tf_keras" else find_spec(name, *args),
    )
    with pytest.raises(SetupError, match="tf-keras is not installed"):
        keras.use_legacy_keras()


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Plugin'"):
        _ = merlin.Plugin
