"""Patches of merlin-core and merlin-dataloader."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from towermill.merlin.state import waiting_for


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


def restore_cudf_names(merlin_core_compat: Any) -> None:
    """Names that Merlin imports or calls and that cuDF has dropped since 24. Not run on a GPU yet.

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
        waiting_for[framework].append(functools.partial(_register_dtypes, module, execute))


def _register_dtypes(module: Any, execute: Callable[[Any], None]) -> None:
    """Register dtypes before those of Triton, as stock does.

    Triton's are whole numbers, to which dtypes of TensorFlow are equal: ``tf.int32 == 3``.
    """
    execute(module)
    mappings = sys.modules["merlin.dtypes.registry"]._dtype_registry.mappings
    if "triton" in mappings:
        mappings["triton"] = mappings.pop("triton")


def load_quietly(module: Any, execute: Callable[[Any], None]) -> None:
    """Ignore two warnings without a remedy, for the import of these modules alone.

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
