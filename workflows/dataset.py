"""Parquet files as a Merlin data set of row groups: Arrow columns on a CPU, cuDF on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import merlin.dtypes as md
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.utils import parse_bytes
from merlin.core.compat import HAS_GPU, cudf
from merlin.io import Dataset
from merlin.schema import ColumnSchema, Schema

from towermill.errors import DataError, did_you_mean
from towermill.runtime.gpu import enough_memory

#: Bytes of a partition in memory, more or less: a row group is never cut.
PART_SIZE = "128MB"
#: Bytes of a value in memory, by Parquet's physical type; text is as long as it is.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}


@dataclass(frozen=True)
class Part:
    """Some row groups of a file, next to one another.

    Attributes
    ----------
    path, row_groups
        What is read.
    rows, nbytes
        How much that is; `nbytes` in memory, estimated.
    """

    path: str
    row_groups: tuple[int, ...]
    rows: int
    nbytes: int

    def where(self, columns: Sequence[str], can_hold: Callable[[Mapping[str, Any]], bool]) -> Part:
        """Return the part without the row groups that cannot hold a wanted row.

        Parameters
        ----------
        columns
            What the rows are chosen by.
        can_hold
            Takes the greatest value of each of them in a row group, where the file tells it.
        """
        meta = pq.read_metadata(self.path)
        names = [meta.schema.column(i).path for i in range(len(meta.schema))]
        places = {name: names.index(name) for name in columns if name in names}
        kept = [
            group for group in self.row_groups if can_hold(_greatest(meta.row_group(group), places))
        ]
        return replace(self, row_groups=tuple(kept))

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the rows, with the given columns only, in memory of the host."""
        with pq.ParquetFile(self.path) as file:
            table = file.read_row_groups(list(self.row_groups), columns=columns)
        return to_frame(table)

    def read_on_gpu(self, columns: Sequence[str] | None = None) -> Any:
        """Return them as a cuDF frame, read by the GPU itself.

        Raises
        ------
        DataError
            The GPU has no memory left.
        """
        names = None if columns is None else list(columns)
        if not self.row_groups:
            arrow = pq.read_schema(self.path).empty_table()
            return cudf.DataFrame.from_arrow(arrow if names is None else arrow.select(names))
        groups = list(self.row_groups)
        with enough_memory(f"a part of the data ({self.rows} rows)"):
            frame = cudf.read_parquet(
                self.path, columns=names, row_groups=groups, use_pandas_metadata=False
            )
        return frame if names is None else frame[names]


def _greatest(group: Any, places: Mapping[str, int]) -> dict[str, Any]:
    found = {name: group.column(place).statistics for name, place in places.items()}
    return {n: told.max for n, told in found.items() if told is not None and told.has_min_max}


class ArrowDataset(Dataset):  # type: ignore[misc]
    """A Merlin data set of Arrow columns, or of cuDF's, whose schema is that of its files.

    Stock Merlin guesses the types from the first row, holds text and lists as Python objects, and
    makes floats of whole numbers where some are null, which above 2⁵³ are no longer the same.

    Attributes
    ----------
    parts
        The partitions, in the order of the files: the same on a CPU and on a GPU.
    read
        What reads one of them, with all columns or some.
    """

    def __init__(
        self, files: Sequence[str], part_size: str | int = PART_SIZE, cpu: bool = True
    ) -> None:
        self.parts = plan_parts(files, parse_bytes(part_size))
        self.read: Callable[..., Any] = read_part if cpu else read_part_on_gpu
        arrow = pq.read_schema(files[0])
        none = Part(files[0], (), 0, 0)
        meta = to_frame(arrow.empty_table()) if cpu else none.read_on_gpu()
        frame = dd.from_map(self.read, self.parts, meta=meta)
        super().__init__(frame, cpu=cpu, schema=merlin_schema(arrow))


def open_dataset(
    paths: str | Path | Iterable[str | Path], part_size: str = PART_SIZE, cpu: bool | None = None
) -> Dataset:
    """Return Parquet files as a data set.

    Parameters
    ----------
    paths
        A file, a folder of ``*.parquet``, or several files.
    part_size
        Of a partition in memory; row groups are not cut.
    cpu
        Whether its frames are pandas' or cuDF's; default: cuDF's if it and a GPU are there.

    Raises
    ------
    DataError
        There is no such file, or their columns differ.
    """
    files = _files(paths)
    if cpu is None:
        cpu = cudf is None or not HAS_GPU
    return ArrowDataset(files, part_size, cpu)


def narrowed(dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """Return the data set with these columns; of a file, no others are read.

    Raises
    ------
    DataError
        One is missing.
    """
    require_columns(dataset, columns)
    schema = dataset.schema.select_by_name(list(columns))
    return Dataset(dataset.to_ddf(columns=list(columns)), cpu=dataset.cpu, schema=schema)


def require_columns(dataset: Dataset, columns: Sequence[str]) -> None:
    """Raise `DataError` if a column is missing."""
    held = dataset.schema.column_names
    if missing := [name for name in columns if name not in held]:
        raise DataError(
            f"The workflow takes the columns {', '.join(missing)}, which the data lacks."
            f"{did_you_mean(missing[0], held)} It has: {', '.join(held)}."
        )


def _files(paths: str | Path | Iterable[str | Path]) -> list[str]:
    if isinstance(paths, str | Path):
        folder = Path(paths)
        paths = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    files = [str(path) for path in paths]
    missing = [file for file in files if not Path(file).is_file()]
    if missing or not files:
        raise DataError(f"Expected Parquet files; found none at {missing or paths}.")
    return files


def plan_parts(files: Sequence[str], part_size: int) -> list[Part]:
    """Return the row groups of all files, gathered up to `part_size` bytes.

    Raises
    ------
    DataError
        The files' columns differ, or one cannot be read.
    """
    parts: list[Part] = []
    schema = None
    for path in files:
        try:
            meta = pq.read_metadata(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"Expected a Parquet file at {path}: {error}. Write it again."
            ) from error
        found = meta.schema.to_arrow_schema().remove_metadata()
        if schema is not None and not schema.equals(found):
            raise DataError(
                f"Expected the columns of {files[0]} in every file; {path} has others, or of other "
                "types. Write them alike, or read them apart."
            )
        schema = found
        parts += _parts_of(path, meta, part_size)
    return parts


def _parts_of(path: str, meta: Any, part_size: int) -> list[Part]:
    parts: list[Part] = []
    groups: list[int] = []
    rows = nbytes = 0
    for index in range(meta.num_row_groups):
        group = meta.row_group(index)
        size = sum(_bytes(group.column(c)) for c in range(group.num_columns))
        if groups and nbytes + size > part_size:
            parts.append(Part(path, tuple(groups), rows, nbytes))
            groups, rows, nbytes = [], 0, 0
        groups.append(index)
        rows, nbytes = rows + group.num_rows, nbytes + size
    # An empty file is a part, so that what is made of it has its columns.
    return [*parts, Part(path, tuple(groups), rows, nbytes)]


def _bytes(column: Any) -> int:
    width = _WIDTHS.get(column.physical_type)
    return int(column.num_values * width if width else column.total_uncompressed_size)


def read_part(part: Part, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a part's rows; by name, for Dask, which pushes the choice of columns into it."""
    return part.read(columns)


def read_part_on_gpu(part: Part, columns: Sequence[str] | None = None) -> Any:
    """Return a part's rows as a cuDF frame, likewise."""
    return part.read_on_gpu(columns)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a frame of Arrow columns, floats and moments being NumPy's.

    Those two have a null of their own there (NaN, NaT), and functions that users write for
    `LambdaOp` count on NumPy's.
    """
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_type, ignore_metadata=True)
    return frame


def _pandas_type(arrow: Any) -> Any:
    own = pa.types.is_floating(arrow) or pa.types.is_timestamp(arrow)
    return None if own else pd.ArrowDtype(arrow)


def merlin_schema(arrow: pa.Schema) -> Schema:
    """Return Merlin's schema of Arrow's, without structs and maps, which Merlin does not have."""
    columns = []
    for field in arrow:
        kind, dims = field.type, None
        if pa.types.is_struct(kind) or pa.types.is_map(kind):
            continue
        if pa.types.is_nested(kind):
            kind, dims = kind.value_type, (None, None)
        columns.append(ColumnSchema(field.name, dtype=md.dtype(pd.ArrowDtype(kind)), dims=dims))
    return Schema(columns)
