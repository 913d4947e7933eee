"""Merlin 23.8 on a current stack: all that NVTabular and Merlin Models need to run, in one place.

NVTabular, merlin-core and merlin-dataloader 23.8 and merlin-models 23.12 were the last releases.
Dask, pandas, TensorFlow and Keras have moved on since. Each function below mends one cause and says
what broke and when. Nothing is patched before it is needed:

- ``import towermill`` calls `arm`, which costs one entry in `sys.meta_path` and imports nothing;
- the first import of ``merlin`` or ``nvtabular`` calls `activate` (Dask, pandas: the ETL stage);
- the first import of ``merlin.models.tf`` or ``merlin.dataloader.tensorflow`` calls
  `activate_keras` (TensorFlow, Keras: the model stage).

So the rest of Towermill writes ``import nvtabular as nvt``, ``import merlin.models.tf as mm`` and
``import tensorflow as tf``, in any order. Dask workers and schedulers are processes of their own,
which unpickle Merlin's objects: `towermill.runtime.plugins.register` brings the patches to them.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import threading
import types
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from towermill.errors import SetupError

TESTED: dict[str, tuple[str, ...]] = {
    "nvtabular": ("23.8",),
    "merlin-core": ("23.8",),
    "merlin-dataloader": ("23.8",),
    "merlin-models": ("23.12",),
    "dask": ("2026.1",),
    "distributed": ("2026.1",),
    "numpy": ("2.4",),
    "pandas": ("2.3",),
    "pyarrow": ("23.0",),
    "tensorflow": ("2.21",),
    "tensorflow-cpu": ("2.21",),
    "tf-keras": ("2.21",),
}
"""The versions (their leading parts) that Towermill's tests ran on, by distribution."""

_KERAS_PACKAGES = ("merlin-models", "tensorflow", "tensorflow-cpu", "tf-keras")
_KERAS_MODULES = ("merlin.models.tf", "merlin.dataloader.tensorflow", "merlin.dataloader.tf_utils")
_LEGACY_KERAS = ("1", "true", "True")  # the values TensorFlow itself looks for

_lock = threading.RLock()
_done: set[str] = set()
# What waits for a framework to be imported. A lock of its own would be one too many: threads
# append to and pop from these lists, which is atomic.
_waiting_for: dict[str, list[Callable[[], None]]] = {"tensorflow": [], "torch": []}
_around: dict[str, Callable[[], AbstractContextManager[None]]] = {}


# ---------------------------------------------------------------------------------------- stages


def arm() -> None:
    """Watch for the first import of Merlin, TensorFlow and Dask in this process.

    Called by ``import towermill``. Imports nothing and may be called again.
    """
    with _lock:
        if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Watcher())


def activate() -> None:
    """Make NVTabular and merlin-core run on this Dask and pandas; once, from any thread.

    Called by the first import of ``merlin`` or ``nvtabular``; imports Dask but not TensorFlow.

    Warns
    -----
    UserWarning
        For each package whose version is not one of `TESTED`.
    """
    _once("etl", _activate_etl)


def activate_keras() -> None:
    """Make Merlin Models run on this TensorFlow with Keras 2; once, from any thread.

    Called by the first import of ``merlin.models.tf`` or ``merlin.dataloader.tensorflow``.

    Raises
    ------
    SetupError
        If TensorFlow already uses Keras 3 in this process, or tf-keras is not installed.

    Warns
    -----
    UserWarning
        For each package whose version is not one of `TESTED`.
    """
    activate()
    _once("keras", _activate_keras)


def _once(stage: str, patch: Callable[[], None]) -> None:
    if stage in _done:
        return
    with _lock:
        if stage not in _done:
            patch()
            _done.add(stage)


def _activate_etl() -> None:
    arm()
    warn_of_untested_versions(set(TESTED) - set(_KERAS_PACKAGES))
    keep_lists_in_object_columns()
    restore_dask_names()
    accept_dask_expr_dependencies()
    ignore_divisions_in_sort()
    silence_cpu_warning()


def _activate_keras() -> None:
    warn_of_untested_versions(_KERAS_PACKAGES)
    use_legacy_keras()
    restore_tf_names()
    alias_keras_internals()
    use_legacy_keras_serialization()
    silence_sampler_warning()


def warn_of_untested_versions(packages: Any) -> None:
    """Warn once of each of `packages` that is installed in a version not in `TESTED`.

    Every patch here reaches into internals, which any release may move.
    """
    for package in sorted(packages):
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        tested = TESTED[package]
        if not any(found == version or found.startswith(version + ".") for version in tested):
            warnings.warn(
                f"{package} {found} is installed; Towermill was tested with {package} "
                f"{' and '.join(tested)}. If Merlin fails, install that one.",
                UserWarning,
                stacklevel=2,
            )


# ----------------------------------------------------------------------- Dask and pandas (ETL)


def keep_lists_in_object_columns() -> None:
    """Dask converts object columns to ``string[pyarrow]`` since 2023.7, lists in them included.

    Merlin keeps lists in object columns: without this they come back as text. (In the environment
    as well, by the import watcher, for processes that this one starts.)
    """
    import dask

    dask.config.set({"dataframe.convert-string": False})


def _ask_dask_to_keep_lists() -> None:
    """Before Dask is imported: the same, for the processes that this one starts."""
    os.environ.setdefault("DASK_DATAFRAME__CONVERT_STRING", "False")


class _OpaqueGraph(dict[Any, Any]):
    """A task graph that tokenizes by its name, so that its lambdas need not be hashed."""

    def __init__(self, graph: Any, name: str) -> None:
        super().__init__(graph)
        self.name = name

    def __dask_tokenize__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _OpaqueGraph, (dict(self), self.name)


def new_dd_object(
    graph: Any, name: str, meta: Any, divisions: Sequence[Any], parent_meta: Any = None
) -> Any:
    """Return a collection over a graph built by hand, as dask.dataframe.core had it until 2025.1.

    That release took the legacy DataFrame away; only dask-expr's is left, which takes a graph
    through ``from_graph``.
    """
    from dask.dataframe.dask_expr import from_graph
    from dask.utils import ensure_dict

    keys = [(name, i) for i in range(len(divisions) - 1)]
    return from_graph(_OpaqueGraph(ensure_dict(graph), name), meta, tuple(divisions), keys, name)


def restore_dask_names() -> None:
    """Names that Merlin imports from modules which the legacy DataFrame took with it (2025.1).

    ``dask.dataframe.optimize`` pushed column selections into the reader; dask-expr does so itself,
    and `_as_graph` asks it to.
    """
    import dask.dataframe as dd
    import dask.dataframe.core as core
    from dask.dataframe.dispatch import hash_object_dispatch

    core.new_dd_object = new_dd_object
    core.hash_object_dispatch = hash_object_dispatch
    core.DataFrame, core.Series = dd.DataFrame, dd.Series
    optimize: Any = types.ModuleType("dask.dataframe.optimize")
    optimize.optimize = lambda dsk, keys, **kwargs: dsk
    sys.modules.setdefault("dask.dataframe.optimize", optimize)


def _as_graph(collection: Any) -> Any:
    """The collection's graph, with aliases so that ``(collection._name, i)`` resolves in it."""
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    lowered = collection.expr.simplify().lower_completely()
    keys = lowered.__dask_keys__()
    if len(keys) != collection.npartitions:  # simplified away: the caller counts on its own number
        lowered = collection.expr.lower_completely()
        keys = lowered.__dask_keys__()
    graph = dict(lowered.__dask_graph__())
    for i, key in enumerate(keys):
        graph.setdefault((collection._name, i), key)
    return HighLevelGraph({collection._name: MaterializedLayer(graph)}, {collection._name: set()})


class _Dependency:
    """A dask-expr collection in the shape that ``HighLevelGraph.from_collections`` knows."""

    def __init__(self, collection: Any) -> None:
        self.graph, self.name = _as_graph(collection), collection._name

    def __dask_graph__(self) -> Any:
        return self.graph

    def __dask_layers__(self) -> tuple[str]:
        return (self.name,)

    def __dask_keys__(self) -> list[Any]:
        return []

    def __dask_postcompute__(self) -> Any:
        return tuple, ()


def accept_dask_expr_dependencies() -> None:
    """Graphs built by hand on top of a frame, and ``ddf.dask``, for dask-expr frames (2025.1).

    Merlin writes files, shuffles and aggregates through ``HighLevelGraph.from_collections``, which
    wants layers that an expression does not have before it is lowered. It also assigns
    ``ddf.dask``, as an optimisation that dask-expr makes needless: ignored.
    """
    from dask.dataframe.dask_expr import FrameBase
    from dask.highlevelgraph import HighLevelGraph

    original = HighLevelGraph.from_collections.__func__

    def from_collections(cls: Any, name: str, layer: Any, dependencies: Any = ()) -> Any:
        adapted = [_Dependency(d) if isinstance(d, FrameBase) else d for d in dependencies]
        return original(cls, name, layer, adapted)

    HighLevelGraph.from_collections = classmethod(from_collections)
    FrameBase.dask = property(_as_graph, lambda self, graph: None)


def ignore_divisions_in_sort() -> None:
    """``sort_values(divisions=…)`` is dask_cudf's alone, and went with the legacy DataFrame."""
    import dask.dataframe as dd

    original = dd.DataFrame.sort_values

    @functools.wraps(original)
    def sort_values(self: Any, by: Any, *args: Any, divisions: Any = None, **kwargs: Any) -> Any:
        return original(self, by, *args, **kwargs)

    dd.DataFrame.sort_values = sort_values


def silence_cpu_warning() -> None:
    """Every Dataset without a GPU warns that this is "an experimental feature"; it is tested."""
    warnings.filterwarnings(
        "ignore", "(Initializing|Changing) an NVTabular Dataset (in|to) CPU mode", UserWarning
    )


# ----------------------------------------------------- Merlin's own modules, once they are loaded


def plan_parquet_by_expression(merlin_io_parquet: Any) -> None:
    """Merlin learned the partition plan by overriding the engine's ``read_metadata``.

    dask-expr does not call it (2025.1): take the plan from the expression. The engine stays
    Merlin's, which turns nullable columns and ``string`` into those that NVTabular knows.
    """

    def to_ddf(self: Any, columns: Any = None, cpu: bool | None = None) -> Any:
        import dask.dataframe as dd

        cpu = self.cpu if cpu is None else cpu
        engine = merlin_io_parquet.CPUParquetEngine if cpu else merlin_io_parquet.CudfEngine
        ddf = dd.read_parquet(
            # dask-expr looks for `_metadata` in a folder only if it is not in a list
            self.paths[0] if len(self.paths) == 1 else self.paths,
            columns=columns,
            engine=engine,
            index=False,
            aggregate_files=self.aggregate_files,
            filters=self.filters,
            split_row_groups=self.row_groups_per_part,
            storage_options=self.storage_options,
            **({"dataset": self.dataset_kwargs} if self.dataset_kwargs else {}),
            **self.read_parquet_kwargs,
        )
        plan = ddf.expr._plan
        self._pp_metadata = {"stats": plan["statistics"], "parts": plan["parts"]}
        return ddf

    merlin_io_parquet.ParquetDatasetEngine.to_ddf = to_ddf


def write_partitions_alike(merlin_io_parquet: Any) -> None:
    """pandas gives a column of one file another type in each partition; the writer then fails.

    Whole numbers are float64 where there is a null and int64 where there is none, and a column
    that is null throughout has no type: take those of the file's first partition. CPU only.
    """
    import pyarrow as pa

    def _write_table(self: Any, idx: int, data: Any) -> None:
        table = pa.Table.from_pandas(data, preserve_index=False)
        fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]
        schema = pa.schema(fields, metadata=table.schema.metadata)
        writer = self._get_or_create_writer(idx, schema=schema)
        table = table.cast(writer.schema)
        writer.write_table(table, row_group_size=self._get_row_group_size(data))

    merlin_io_parquet.CPUParquetWriter._write_table = _write_table


def mend_parquet(merlin_io_parquet: Any) -> None:
    """What Merlin's Parquet files need, once the module is loaded."""
    plan_parquet_by_expression(merlin_io_parquet)
    write_partitions_alike(merlin_io_parquet)


def partition_pandas_frames(merlin_io_dask: Any) -> None:
    """``to_parquet(partition_on=…)`` calls ``DataFrame.searchsorted``, which only cuDF ever had."""
    cudf_groups = merlin_io_dask._get_partition_groups

    def get_partition_groups(
        df: Any, partition_cols: Any, fs: Any, output_path: str, filename: str
    ) -> Any:
        if hasattr(df, "searchsorted"):
            return cudf_groups(df, partition_cols, fs, output_path, filename)
        names, frames = [], []
        for keys, group in df.groupby(list(partition_cols), dropna=False, observed=True):
            folder = fs.sep.join(f"{n}={k}" for n, k in zip(partition_cols, keys, strict=True))
            fs.mkdirs(fs.sep.join([output_path, folder]), exist_ok=True)
            names.append(fs.sep.join([folder, filename]))
            frames.append(group.drop(columns=partition_cols))
        return names, frames

    merlin_io_dask._get_partition_groups = get_partition_groups


def _write_uniques(
    dfs: Any,
    base_path: str,
    col_selector: Any,
    options: Any,
    cpu: bool,
    path: str | None = None,
) -> Any:
    """NVTabular's function, given one frame instead of a folder (`sort_uniques_in_one_frame`)."""
    from merlin.core import dispatch
    from nvtabular.ops import categorify

    if path is not None:
        read = dispatch.read_dispatch(cpu=cpu, collection=True)
        frame = read(path, split_row_groups=False).compute(scheduler="synchronous")
        dfs = [frame.reset_index(drop=True)]
    return categorify._write_uniques_of_frames(dfs, base_path, col_selector, options, cpu)


def sort_uniques_in_one_frame(nvtabular_ops_categorify: Any) -> None:
    """``Categorify(split_out=…)`` sorts its uniques by Dask, with internals gone since 2025.1.

    ``dd.shuffle._calculate_divisions``, and a ``BlockIndex`` handed to ``map_partitions``, of which
    dask-expr makes no partition number: the null row stayed among the values. The uniques are
    sorted in one frame instead, as they are with ``split_out=1``.
    """
    nvtabular_ops_categorify._write_uniques_of_frames = nvtabular_ops_categorify._write_uniques
    nvtabular_ops_categorify._write_uniques = _write_uniques


def encode_by_position(nvtabular_ops_categorify: Any) -> None:
    """Categorify finds nulls, and puts lists back, by index label where it means the position.

    So in a pandas partition whose index does not count from 0 (any but the first of
    ``Dataset(frame, npartitions=2)``, or one behind a filter) it wrote to other rows or failed; and
    it failed in a partition that is empty or has nothing but nulls. Never right on a CPU.
    """
    import numpy as np
    import pandas as pd

    original = nvtabular_ops_categorify._encode

    def encode(name: Any, storage_name: str, path: Any, df: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(df, pd.DataFrame):
            return original(name, storage_name, path, df, *args, **kwargs)
        if isinstance(name, str) and df[name].isna().all() and not kwargs.get("single_table"):
            dtype = kwargs.get("dtype") or np.int64
            return np.full(len(df), nvtabular_ops_categorify.NULL_OFFSET, dtype=dtype)
        labels = original(name, storage_name, path, df.reset_index(drop=True), *args, **kwargs)
        return labels.values if isinstance(labels, pd.Series) else labels

    nvtabular_ops_categorify._encode = encode


def write_empty_vocabularies(nvtabular_ops_categorify: Any) -> None:
    """Categorify writes no file for a column of nothing but nulls, and then fails to open it.

    Never right, on a GPU neither.
    """
    from fsspec.core import url_to_fs

    original = nvtabular_ops_categorify._save_encodings

    def save_encodings(df: Any, *args: Any, **kwargs: Any) -> Any:
        path = original(df, *args, **kwargs)
        fs, where = url_to_fs(path)
        if not fs.exists(where):
            df.head(0).to_parquet(path)
        return path

    nvtabular_ops_categorify._save_encodings = save_encodings


def mend_categorify(nvtabular_ops_categorify: Any) -> None:
    """What Categorify needs, once it is loaded."""
    write_empty_vocabularies(nvtabular_ops_categorify)
    sort_uniques_in_one_frame(nvtabular_ops_categorify)
    encode_by_position(nvtabular_ops_categorify)


def know_arrow_lists(merlin_core_dispatch: Any) -> None:
    """pandas has Arrow-backed columns since 2.0; Merlin asks a column's first row if it is a list.

    And its first value for the type. The type of an Arrow column says both, of an empty one too.
    """
    import pandas as pd
    import pyarrow as pa

    is_list, leaf = merlin_core_dispatch.is_list_dtype, merlin_core_dispatch.list_val_dtype

    def holds_lists(kind: Any) -> bool:
        return bool(pa.types.is_nested(kind) and hasattr(kind, "value_type"))

    def arrow_type(column: Any) -> Any:
        dtype = getattr(column, "dtype", column)
        return dtype.pyarrow_dtype if isinstance(dtype, pd.ArrowDtype) else None

    def is_list_dtype(column: Any) -> Any:
        found = arrow_type(column)
        return is_list(column) if found is None else holds_lists(found)

    def list_val_dtype(column: Any) -> Any:
        found = arrow_type(column)
        if found is None:
            return leaf(column)
        return pd.ArrowDtype(found.value_type) if holds_lists(found) else None

    merlin_core_dispatch.is_list_dtype = is_list_dtype
    merlin_core_dispatch.list_val_dtype = list_val_dtype


def mend_dispatch(merlin_core_dispatch: Any) -> None:
    """What Merlin's choice between pandas and cuDF needs, once it is loaded."""
    know_arrow_lists(merlin_core_dispatch)
    hash_values_alone(merlin_core_dispatch)


def _clean_worker_cache(name: str | None = None, dask_worker: Any = None) -> None:
    """Merlin's function, for a worker that is handed to it (`clean_caches_of_workers`)."""
    from merlin.io import worker as merlin_io_worker

    if dask_worker is None:
        merlin_io_worker._clean_own_cache(name)
        return
    with merlin_io_worker._WORKER_CACHE_LOCK:
        caches = getattr(dask_worker, "worker_cache", {})
        for cache in [name] if name else list(caches):
            caches.pop(cache, None)


def clean_caches_of_workers(merlin_io_worker: Any) -> None:
    """``Client.run`` cleaned no cache: ``get_worker`` no longer finds the worker in it.

    Categorify's vocabularies stay in a worker's cache under their path. One that was fitted again
    at the same path was then encoded by the one before. Dask hands a function that is run so the
    worker as ``dask_worker``.
    """
    merlin_io_worker._clean_own_cache = merlin_io_worker.clean_worker_cache
    merlin_io_worker.clean_worker_cache = _clean_worker_cache


def hash_values_alone(merlin_core_dispatch: Any) -> None:
    """``hash_series`` hashes the row's index into a pandas value's hash, and fails on lists.

    So with ``Categorify(num_buckets=…)`` or HashBucket one value fell into another bucket in each
    row. Numbers are hashed as float64: with nulls beside them they are, without they may be not.
    Never right on a CPU.
    """
    import pandas as pd

    original = merlin_core_dispatch.hash_series

    def hash_series(ser: Any) -> Any:
        if not isinstance(ser, pd.Series):
            return original(ser)
        if merlin_core_dispatch.is_list_dtype(ser):
            ser = merlin_core_dispatch.flatten_list_column_values(ser)
        if pd.api.types.is_numeric_dtype(ser.dtype):
            ser = ser.astype("float64")
        return pd.util.hash_pandas_object(ser, index=False).values

    merlin_core_dispatch.hash_series = hash_series


def pad_sliced_arrays(nvtabular_ops_list_slice: Any) -> None:
    """``ListSlice(pad=True)`` on a CPU pads lists, but throws the padded arrays away.

    Lists read from Parquet are arrays. Never right on a CPU.
    """
    import numpy as np

    op = nvtabular_ops_list_slice.ListSlice
    original = op.transform

    @functools.wraps(original)
    def transform(self: Any, col_selector: Any, df: Any) -> Any:
        sliced = original(self, col_selector, df)
        if self.pad and nvtabular_ops_list_slice.is_cpu_object(df):
            for column in col_selector.names:
                sliced[column] = [
                    np.append(row, np.full(self.max_elements - len(row), self.pad_value, row.dtype))
                    if isinstance(row, np.ndarray)
                    else row
                    for row in sliced[column]
                ]
        return sliced

    op.transform = transform


def restore_cudf_names(merlin_core_compat: Any) -> None:
    """Names that Merlin imports or calls and that cuDF has dropped since 24. Not run on a card yet.

    Without ``build_column`` merlin.core.dispatch gives up importing and cannot tell a list column
    from others. Written by the source of cuDF 26.6.
    """
    if merlin_core_compat.cudf is None:
        return
    column: Any = importlib.import_module("cudf.core.column")
    dask_cudf: Any = importlib.import_module("dask_cudf")
    if not hasattr(column, "build_categorical_column"):
        column.build_categorical_column = None  # only called with cuDF before 22.02
    if not hasattr(column, "build_column"):
        column.build_column = _build_list_column
    if not hasattr(column.ListColumn, "offsets"):
        column.ListColumn.offsets = property(_list_offsets)
    if not hasattr(dask_cudf, "from_dask_dataframe"):
        dask_cudf.from_dask_dataframe = lambda ddf: ddf.to_backend("cudf")
    if not hasattr(dask_cudf.DataFrame, "to_dask_dataframe"):
        dask_cudf.DataFrame.to_dask_dataframe = lambda self: self.to_backend("pandas")


def _build_list_column(data: Any, dtype: Any, *, size: int, children: Sequence[Any]) -> Any:
    """``build_column`` for lists, of which alone Merlin makes columns: offsets and elements."""
    plc: Any = importlib.import_module("pylibcudf")
    base: Any = importlib.import_module("cudf.core.column").ColumnBase
    parts = [child.to_pylibcudf() for child in children]
    made = plc.Column(plc.DataType(plc.TypeId.LIST), size, None, None, 0, 0, parts)
    return base.create(made, dtype)


def _list_offsets(self: Any) -> Any:
    base: Any = importlib.import_module("cudf.core.column").ColumnBase
    return base.from_pylibcudf(self.plc_column.list_view().offsets())


class _Deferred:
    """A module that is imported when an attribute is asked of it; false until then."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __bool__(self) -> bool:
        return self._name in sys.modules

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def defer_compat(framework: str, module: Any, execute: Callable[[Any], None]) -> None:
    """``merlin.core.compat.tensorflow`` and ``.torch`` import their framework on sight.

    merlin.table imports both, so every Dask worker would load TensorFlow: seconds, half a gigabyte
    and, on a GPU, half of its memory. Merlin is handed a stand-in instead, which is false, as where
    the framework is not installed, until something else has imported it.
    """
    if framework in sys.modules or importlib.util.find_spec(framework) is None:
        execute(module)
        return

    def load(name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(name)
        del module.__getattr__
        execute(module)
        return getattr(module, name)

    setattr(module, framework, _Deferred(framework))
    if framework == "tensorflow":
        module.tf_ops = _Deferred("tensorflow.python.framework.ops")
    module.__getattr__ = load


def defer_dtypes(framework: str, module: Any, execute: Callable[[Any], None]) -> None:
    """``merlin.dtypes.mappings.tf`` and ``.torch`` import their framework on sight.

    See `defer_compat`. Its dtypes are registered as soon as the framework has been imported.
    """
    if framework in sys.modules or importlib.util.find_spec(framework) is None:
        load_quietly(module, execute)
    else:
        _waiting_for[framework].append(functools.partial(_register_dtypes, module, execute))


def _register_dtypes(module: Any, execute: Callable[[Any], None]) -> None:
    """Register dtypes before those of Triton, as stock does.

    Triton's are whole numbers, to which dtypes of TensorFlow are equal: ``tf.int32 == 3``.
    """
    execute(module)
    mappings = sys.modules["merlin.dtypes.registry"]._dtype_registry.mappings
    if "triton" in mappings:
        mappings["triton"] = mappings.pop("triton")


def load_quietly(module: Any, execute: Callable[[Any], None]) -> None:
    """Two warnings that nobody can act on, ignored for the import of these modules alone.

    Merlin's, that dtypes of PyTorch and Triton "did not load" where they are not installed; and
    that ``pynvml`` is deprecated, which merlin-core requires and Dask imports.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Tensorflow|PyTorch|Triton) dtype mappings did not load")
        warnings.filterwarnings("ignore", "The pynvml package is deprecated", FutureWarning)
        execute(module)


def pass_on_empty_frames(merlin_dag_executors: Any) -> None:
    """The executor drops what an operator returns if it has no rows, and takes the raw columns.

    So an empty partition kept the types of the raw data, beside partitions that were encoded.
    Never right; it meant to drop what has no columns.
    """

    def run_upstream(
        self: Any, node: Any, data: Any, capture_dtypes: bool = False, strict: bool = False
    ) -> list[Any]:
        given = (
            self._execute_node(parent, data, capture_dtypes=capture_dtypes, strict=strict)
            for parent in node.parents_with_dependencies
        )
        return [part for part in given if part is not None and len(getattr(part, "columns", part))]

    def merge(self: Any, parts: Sequence[Any], merge_fn: Any = None) -> Any:
        merged = parts[0]
        for part in parts[1:]:
            older = [name for name in merged.keys() if name not in part.keys()]  # noqa: SIM118
            concat = merge_fn or merlin_dag_executors.concat_columns
            merged = concat([merged[older], part]) if older else part
        return merged

    merlin_dag_executors.LocalExecutor._run_upstream_transforms = run_upstream
    merlin_dag_executors.LocalExecutor._merge_upstream_columns = merge


# ------------------------------------------------------------------------- TensorFlow and Keras


def _ask_for_legacy_keras() -> None:
    """Before TensorFlow is imported: have ``tf.keras`` be Keras 2, unless the user said else."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def use_legacy_keras() -> None:
    """``tf.keras`` is Keras 3 since TensorFlow 2.16; Merlin Models is written for Keras 2.

    TensorFlow reads ``TF_USE_LEGACY_KERAS`` twice: at import, to find ``tensorflow.keras`` on its
    path, and at the first use of ``tf.keras``, which is a lazy loader until then. If TensorFlow was
    imported without the variable but no Keras has been used yet, both are still mended here.
    """
    if importlib.util.find_spec("tf_keras") is None:
        raise SetupError(
            "Merlin Models needs Keras 2, and the package tf-keras is not installed. "
            "Install towermill[cpu] or towermill[gpu], or tf-keras of TensorFlow's own version."
        )
    advice = (
        "Set TF_USE_LEGACY_KERAS=1 in the environment, or `import towermill` before tensorflow, "
        "and start again."
    )
    if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1") not in _LEGACY_KERAS:
        raise SetupError(
            "Merlin Models needs Keras 2, but TF_USE_LEGACY_KERAS is "
            f"{os.environ['TF_USE_LEGACY_KERAS']!r} in the environment. {advice}"
        )
    import tensorflow as tf

    found = _keras_in_use(tf)
    if found.startswith("keras."):
        raise SetupError(
            "Merlin Models needs Keras 2, but TensorFlow was imported before Towermill and has "
            f"loaded Keras 3 ({found}). {advice}"
        )
    api = importlib.util.find_spec("tf_keras.api._v2")
    for folder in (api.submodule_search_locations or ()) if api else ():
        if folder not in tf.__path__:
            tf.__path__.insert(0, folder)


def _keras_in_use(tf: Any) -> str:
    """Return the module behind ``tf.keras``, or an empty string if nothing has loaded it yet."""
    for name in ("keras", "losses", "metrics", "optimizers", "initializers"):
        module = vars(tf).get(name)
        if module is None or getattr(module, "_tfll_initialized", True) is False:
            continue
        # Not `repr` or an attribute: either would make the lazy loader load.
        package = object.__getattribute__(module, "__name__")
        if package == "tensorflow.keras":  # found on TensorFlow's path
            package = "keras.3" if "_tf_keras" in (module.__file__ or "") else "tf_keras"
        if package.startswith("keras."):
            return str(package)
    return ""


def restore_tf_names() -> None:
    """Names TensorFlow moved: DLPack (2.16), ``python.training.tracking`` (2.11)."""
    import tensorflow as tf
    import tensorflow.python as tf_python
    import tensorflow.python.trackable as trackable
    import tensorflow.python.trackable.data_structures as data_structures

    for name in ("to_dlpack", "from_dlpack"):
        if not hasattr(tf_python, name):
            setattr(tf_python, name, getattr(tf.experimental.dlpack, name))
    sys.modules["tensorflow.python.training.tracking"] = trackable
    sys.modules["tensorflow.python.training.tracking.data_structures"] = data_structures


def alias_keras_internals() -> None:
    """Merlin imports internals of Keras 2.12 from ``keras``; since 2.13 they are in ``keras.src``.

    And ``keras`` itself is Keras 3. Only names that Keras 3 does not have are taken.
    """
    for name in (
        "engine",
        "engine.compile_utils",
        "layers.preprocessing",
        "layers.preprocessing.preprocessing_utils",
        "saving.saving_lib",
        "utils.control_flow_util",
        "utils.generic_utils",
        "utils.layer_utils",
        "utils.losses_utils",
        "utils.metrics_utils",
        "utils.tf_inspect",
    ):
        module = importlib.import_module("tf_keras.src." + name)
        sys.modules.setdefault("keras." + name, module)


def use_legacy_keras_serialization() -> None:
    """Keras 2.13 changed ``serialize`` to Keras 3's format; Merlin's configs expect 2.12's.

    Objects are written in the old format. Either is read, told by the config's shape.
    """
    from tf_keras.src.saving.legacy import serialization as legacy

    def serialize(obj: Any, *args: Any, **kwargs: Any) -> Any:
        return legacy.serialize_keras_object(obj)

    def reading_both(original: Any) -> Any:
        @functools.wraps(original)
        def deserialize(config: Any, *args: Any, **kwargs: Any) -> Any:
            new = isinstance(config, dict) and {"module", "registered_name"} <= config.keys()
            kwargs.setdefault("use_legacy_format", not new)
            return original(config, *args, **kwargs)

        return deserialize

    for kind in ("layers", "metrics", "losses", "optimizers"):
        # Not tf.keras: Merlin's `from tensorflow.keras import …` makes a second copy of the module.
        module: Any = importlib.import_module("tensorflow.keras." + kind)
        module.serialize = serialize
        module.deserialize = reading_both(module.deserialize)
    # Keras's layers reach initializers here. Merlin's TensorInitializer holds an array, which the
    # new format wraps in a dict that its from_config does not undo.
    initializers: Any = importlib.import_module("tf_keras.src.initializers")
    initializers.serialize = serialize
    utils: Any = importlib.import_module("tensorflow.keras.utils")
    utils.serialize_keras_object = legacy.serialize_keras_object
    utils.deserialize_keras_object = legacy.deserialize_keras_object


def tokenize_model_encode(merlin_models_tf_utils_batch_utils: Any) -> None:
    """dask-expr wants a token of whatever goes into ``map_partitions`` (2025.1).

    ``batch_predict`` and the encoders' ``encode`` hand it a model, which has none: each object gets
    one of its own, so that no two models are taken for the same.
    """

    def token(self: Any) -> str:
        own: str = vars(self).setdefault("_towermill_token", uuid.uuid4().hex)
        return own

    merlin_models_tf_utils_batch_utils.TFModelEncode.__dask_tokenize__ = token


def _is_not_sampler_tracing(record: logging.LogRecord) -> bool:
    return "returned no samples for this batch" not in record.getMessage()


def silence_sampler_warning() -> None:
    """ "The sampler InBatchSampler returned no samples for this batch" comes of tracing alone.

    Merlin raises an exception of its own if no sampler returned anything.
    """
    logging.getLogger("merlin_models").addFilter(_is_not_sampler_tracing)


# ------------------------------------------------------------------------------ watching imports

_BEFORE: dict[str, Callable[[], None]] = {
    "tensorflow": _ask_for_legacy_keras,
    "tf_keras": _ask_for_legacy_keras,
    "dask": _ask_dask_to_keep_lists,
    **dict.fromkeys(_KERAS_MODULES, activate_keras),
}
_AFTER: dict[str, Callable[[Any], None]] = {
    "merlin.core.compat": restore_cudf_names,
    "merlin.dag.executors": pass_on_empty_frames,
    "merlin.io.dask": partition_pandas_frames,
    "merlin.io.worker": clean_caches_of_workers,
    "merlin.io.parquet": mend_parquet,
    "merlin.core.dispatch": mend_dispatch,
    "merlin.models.tf.utils.batch_utils": tokenize_model_encode,
    "nvtabular.ops.categorify": mend_categorify,
    "nvtabular.ops.list_slice": pad_sliced_arrays,
}
_INSTEAD: dict[str, Callable[[Any, Callable[[Any], None]], None]] = {
    "merlin.core.compat.tensorflow": functools.partial(defer_compat, "tensorflow"),
    "merlin.core.compat.torch": functools.partial(defer_compat, "torch"),
    "merlin.dtypes.mappings.tf": functools.partial(defer_dtypes, "tensorflow"),
    "merlin.dtypes.mappings.torch": functools.partial(defer_dtypes, "torch"),
    "merlin.dtypes.mappings.triton": load_quietly,
    "distributed.diagnostics.nvml": load_quietly,
}


class _Watcher(MetaPathFinder):
    """Finds what others find, and has the functions above run around the module's execution.

    Not in `find_spec` itself, where the import system holds its global lock: imports started there
    can deadlock with those of other threads.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if not any(fullname in table for table in (_BEFORE, _INSTEAD, _waiting_for)) and (
            not _is_merlin(fullname)
        ):
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    execute = functools.partial(_execute, fullname, spec.loader.exec_module)
                    spec.loader = copy.copy(spec.loader)  # a zip file's serves all its modules
                    vars(spec.loader)["exec_module"] = execute
                return spec
        return None


def around_import(name: str, context: Callable[[], AbstractContextManager[None]]) -> None:
    """Have the first import of the module `name`, if it is watched, run within ``context()``."""
    _around[name] = context


def _is_merlin(name: str) -> bool:
    return name.partition(".")[0] in ("merlin", "nvtabular")


def _execute(name: str, execute: Callable[[Any], None], module: Any) -> None:
    """Execute `module` with what has to come before, after or instead."""
    if _is_merlin(name):
        activate()
    if name in _BEFORE:
        _BEFORE[name]()
    with _around.get(name, contextlib.nullcontext)():
        if name in _INSTEAD:
            _INSTEAD[name](module, execute)
        else:
            execute(module)
    if name in _AFTER:
        _AFTER[name](module)
    waiting = _waiting_for.get(name, [])
    while waiting:
        waiting.pop()()


# -------------------------------------------------------------------------- Dask's own processes


def dask_setup(process: Any) -> None:
    """Activate Merlin in a worker or scheduler started with ``--preload``."""
    activate()
