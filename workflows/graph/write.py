"""A workflow's output as Parquet files, written part by part."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from dask.utils import parse_bytes
from merlin.core.utils import global_dask_client
from merlin.dag.executors import LocalExecutor
from merlin.io import Dataset
from merlin.schema import Schema
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata

from towermill.errors import DataError
from towermill.files import replacing
from towermill.progress import progress
from towermill.runtime.in_order import in_order
from towermill.workflows.dataset import ArrowDataset, Part, require_columns
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.ops import Filter
from towermill.workflows.ops.frames import on_cpu, without_arrow
from towermill.workflows.ops.gpu import to_arrow
from towermill.workflows.tables import ROW_GROUP

#: A file's rows, as bytes in memory before they were encoded: its size on disk is far below.
FILE_SIZE = "512MB"
#: Columns with fewer ids are written by dictionary.
_DICTIONARY = 1 << 12


def write(workflow: Workflow, dataset: Dataset, out: Path, file_size: str = FILE_SIZE) -> int:
    """Transform a data set into ``part_<n>.parquet``, zstd, and return the number of rows.

    It also writes ``_metadata`` (every file's row groups and statistics) and ``schema.pbtxt``.
    The files are the same whether a Dask cluster, which is used if there is one, writes them or
    this process. Only the columns that the workflow takes are read; row groups in which no row can
    pass the workflow's `Filter` are not. On a GPU each part is read and encoded there, and comes
    to the host to be written.

    Parameters
    ----------
    workflow
        Fitted.
    dataset
        From `open_dataset`.
    out
        A folder; made if it is not there. What an earlier call wrote there goes; ``_metadata``
        comes last, so that a folder without it is known not to be whole.
    file_size
        How much of the data, in memory, makes a file.

    Raises
    ------
    DataError
        The workflow is not fitted, a column that it takes is missing, or `out` holds the data.
    """
    if workflow.output_schema is None:
        raise DataError("Expected a fitted workflow. Call its `fit`, or load one.")
    require_columns(dataset, workflow.input_schema.column_names)
    _make_room(out, dataset)
    if not isinstance(dataset, ArrowDataset):
        rows = _write_by_nvtabular(workflow, dataset, out)
        write_schema(workflow.output_schema, out)
        return rows
    write_schema(workflow.output_schema, out)
    groups = list(_gathered(dataset.parts, parse_bytes(file_size)))
    files = [out / f"part_{n:05d}.parquet" for n in range(len(groups))]
    tasks = [(dataset.read, *task) for task in zip(groups, files, strict=True)]
    metas = _on_cluster_or_here(_write_file, workflow, tasks)
    pq.write_metadata(
        metas[0].schema.to_arrow_schema(), out / "_metadata", metadata_collector=metas
    )
    return sum(meta.num_rows for meta in metas)


def _make_room(out: Path, dataset: Dataset) -> None:
    out.mkdir(parents=True, exist_ok=True)
    parts = dataset.parts if isinstance(dataset, ArrowDataset) else ()
    if any(Path(part.path).resolve().parent == out.resolve() for part in parts):
        raise DataError(f"The data set is in {out}. Write it to another folder.")
    for earlier in (*out.glob("part_[0-9][0-9][0-9][0-9][0-9].parquet"), out / "_metadata"):
        earlier.unlink(missing_ok=True)


def _write_by_nvtabular(workflow: Workflow, dataset: Dataset, out: Path) -> int:
    workflow.transform(dataset).to_parquet(str(out))
    for leftover in ("_file_list.txt", "_metadata.json"):
        (out / leftover).unlink(missing_ok=True)
    shutil.rmtree(out / ".merlin", ignore_errors=True)
    return sum(int(pq.read_metadata(path).num_rows) for path in out.glob("*.parquet"))


def to_table(dataset: Dataset) -> pl.DataFrame:
    """Return the data set's rows, in their order, in memory."""
    frame = dataset.to_ddf()
    scheduler = None if global_dask_client() else "synchronous"
    rows = frame.compute(scheduler=scheduler)
    return pl.DataFrame(plain(to_arrow(rows)))


def write_schema(schema: Schema, folder: Path) -> None:
    """Write ``schema.pbtxt`` into `folder`, without the paths of vocabularies, which may move."""
    columns = []
    for column in schema:
        properties = {k: v for k, v in column.properties.items() if k != "cat_path"}
        columns.append(replace(column, properties=properties))
    TensorflowMetadata.from_merlin_schema(Schema(columns)).to_proto_text_file(str(folder))


def _gathered(parts: Sequence[Part], file_size: int) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        if group and sum(p.nbytes for p in group) + part.nbytes > file_size:
            yield group
            group = []
        group.append(part)
    yield group


def _on_cluster_or_here(
    write: Callable[..., Any], workflow: Workflow, tasks: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Run the tasks on the cluster if there is one, else one by one, and return their results."""
    client = global_dask_client()
    with progress() as bars:
        bar = bars.add_task("encoding", total=len(tasks))
        if client is None:
            return [write(workflow, *task) for task in bars.track(tasks, task_id=bar)]
        # Not scattered: data lost with a worker could not be recomputed.
        futures = [client.submit(write, workflow, *task, pure=False) for task in tasks]
        results = []
        for future in futures:
            results.append(future.result())
            bars.advance(bar)
        return results


def _write_file(
    workflow: Workflow, read: Callable[..., Any], parts: Sequence[Part], path: Path
) -> Any:
    """Write the parts to one file and return its metadata.

    While a part is encoded, the next one is read and the one before written.
    """
    # Dask may have two workers write it, if it believes that the first is gone.
    with replacing(path, shared=True) as unfinished:
        meta = _write(workflow, read, parts, unfinished)
    meta.set_file_path(path.name)
    return meta


def _write(workflow: Workflow, read: Callable[..., Any], parts: Sequence[Part], path: Path) -> Any:
    collected: list[Any] = []
    keep, arrow = workflow.row_filter, workflow.takes_arrow
    # The writer is closed after the threads have ended, whatever happens.
    with (
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(1) as reading,
        ThreadPoolExecutor(1) as writing,
    ):
        columns = workflow.input_schema.column_names
        read_part = partial(_read, read, columns, keep, arrow)
        frames = in_order(partial(reading.submit, read_part), parts, ahead=1)
        writer, job = None, None
        for table in _row_groups(_encoded(workflow, frame) for frame in frames):
            if writer is None:
                writer = stack.enter_context(
                    pq.ParquetWriter(
                        path,
                        table.schema,
                        compression="zstd",
                        # Of many distinct ids, a dictionary costs more time than it saves room.
                        use_dictionary=_few_valued(workflow.output_schema),
                        store_schema=False,
                        metadata_collector=collected,
                    )
                )
            if job is not None:
                job.result()  # no more than one waits in memory
            job = writing.submit(writer.write_table, table.cast(writer.schema), ROW_GROUP)
        if job is not None:
            job.result()
    return collected[0]


def _few_valued(schema: Schema) -> list[str]:
    return [c.name for c in schema if c.int_domain and c.int_domain.max < _DICTIONARY]


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Gather tables into ones of at least `ROW_GROUP` rows; at least one, maybe empty."""
    waiting: list[pa.Table] = []
    given = False
    for table in tables:
        waiting.append(table)
        if sum(len(t) for t in waiting) >= ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting, given = [], True
    if not given or any(len(t) for t in waiting):
        yield pa.concat_tables(waiting)


def _read(
    read: Callable[..., Any], columns: Sequence[str], keep: Filter | None, arrow: bool, part: Part
) -> Any:
    if keep is not None and hasattr(keep.f, "can_hold"):
        part = part.where(keep.f.columns, keep.f.can_hold)
    frame = read(part, columns)
    frame = frame if keep is None else keep.transform(None, frame)
    return frame if arrow or not on_cpu(frame) else without_arrow(frame)


def _encoded(workflow: Workflow, frame: Any) -> pa.Table:
    frame = LocalExecutor().transform(frame, workflow.graph)
    table = plain(to_arrow(frame))
    # pandas makes floats of whole numbers beside nulls, in one part and not in the next.
    for place, column in enumerate(workflow.output_schema):
        if not column.is_list and table.schema.field(place).name == column.name:
            table = _in_type(table, place, column.dtype)
    return table


def _in_type(table: pa.Table, place: int, dtype: Any) -> pa.Table:
    field = table.schema.field(place)
    try:
        wanted = pa.from_numpy_dtype(dtype.to_numpy)
        if field.type == wanted or not pa.types.is_floating(field.type):
            return table
        return table.set_column(place, field.with_type(wanted), table[place].cast(wanted))
    except (pa.ArrowException, ValueError, TypeError):
        return table  # of a custom type


def plain(table: pa.Table) -> pa.Table:
    """Return the table without 64-bit offsets and without pandas' notes, as any reader takes it."""
    return table.cast(pa.schema([pa.field(f.name, _short(f.type)) for f in table.schema]))


def _short(kind: Any) -> Any:
    if pa.types.is_large_list(kind):
        return pa.list_(_short(kind.value_type))
    return pa.string() if pa.types.is_large_string(kind) else kind
