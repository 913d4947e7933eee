"""JSON lines: one object a line, as Parquet files with one type a column."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.text.text_files import TextFile

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Compressions that Polars reads by itself.
_POLARS = ("none", "gzip", "zstd")
#: Characters of a line that an error shows.
_SHOWN = 80
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonTable:
    """Columns of JSON lines, in the order of the files.

    Attributes
    ----------
    files
        One Parquet file for each file that has rows.
    rows
        Number of rows of each file.
    dropped
        Lines that are no JSON object, with `on_bad_row: drop`.
    """

    files: list[Path]
    rows: dict[TextFile, int]
    dropped: int = 0

    def place(self, row: int) -> str:
        """Return the file and line of a row, counted from 0."""
        for file, rows in self.rows.items():
            if row < rows:
                lines = (line for line, text in _lines(file) if _problem(text) is None)
                return f"{file.path}, line {next(n for i, n in enumerate(lines) if i == row)}"
            row -= rows
        raise IndexError(row)


def json_names(files: Sequence[Path], options: ReadingOptions) -> list[str]:
    """Return the keys of all objects in `files`, in the order in which they first occur.

    Raises
    ------
    DataError
        A line is no JSON object, or there is none at all.

    Examples
    --------
    >>> _ = Path("log.jsonl").write_text('{"user": "a"}\\n{"user": "b", "tags": ["x"]}\\n')
    >>> json_names([Path("log.jsonl")], ReadingOptions())
    ['user', 'tags']
    """
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, None] = {}
        for path in files:
            file = TextFile.of(path, options)
            names, _ = _scanned(file, options, Path(folder), lambda f: f.collect_schema().names())
            found |= dict.fromkeys(names or [])
    if not found:
        raise DataError(
            f"{files[0]} should have one JSON object a line, and there is none. Remove it, or "
            "write its rows again."
        )
    return list(found)


def read_json(
    files: Sequence[Path], options: ReadingOptions, columns: Sequence[str], scratch: Path
) -> JsonTable:
    """Write columns of JSON lines to Parquet files in `scratch`.

    A key that an object lacks is null. The type of a column is the one that holds the values of all
    rows of a file: integers, floats, text, Booleans, or lists of them. Text that is empty, or one
    of the options' `null_values`, is null.

    Raises
    ------
    DataError
        A line is no JSON object, or a column holds objects.

    Examples
    --------
    >>> _ = Path("log.jsonl").write_text('{"n": 1}\\n{"n": 2.5}\\n')
    >>> Path("scratch").mkdir()
    >>> table = read_json([Path("log.jsonl")], ReadingOptions(), ["n"], Path("scratch"))
    >>> pl.read_parquet(table.files)["n"].to_list()
    [1.0, 2.5]
    """
    written: list[Path] = []
    rows: dict[TextFile, int] = {}
    dropped = 0
    for path in files:
        file = TextFile.of(path, options)
        target = scratch / f"json-{len(list(scratch.iterdir()))}.parquet"
        sink = partial(_sink, file=file, options=options, columns=columns, target=target)
        done, bad = _scanned(file, options, scratch, sink)
        dropped += bad
        if done is None:
            continue
        rows[file] = pl.scan_parquet(target, glob=False).select(pl.len()).collect().item()
        written.append(target)
    if dropped:
        logger.warning("Dropped %d lines that are no JSON objects", dropped)
    return JsonTable(written, rows, dropped)


def _column(name: str, schema: pl.Schema, path: Path, options: ReadingOptions) -> pl.Expr:
    kind = schema.get(name)
    if kind is None:
        return pl.lit(None).alias(name)
    inner = kind.inner if isinstance(kind, pl.List) else kind
    if inner == pl.Struct or (inner != kind and inner == pl.List):
        raise DataError(
            f"{path}: {name!r} should hold numbers, text, Booleans or lists of them. Its type is "
            f"{kind}. Leave it out of the recipe, or write what you need of it as a key of its own."
        )
    if kind == pl.String:
        return pl.when(~pl.col(name).is_in(["", *(options.null_values or ())])).then(pl.col(name))
    # Of integers past 64 bits the text is kept.
    return pl.col(name).cast(pl.String) if kind == pl.Int128 else pl.col(name)


def _scanned(
    file: TextFile, options: ReadingOptions, scratch: Path, use: Callable[[pl.LazyFrame], T]
) -> tuple[T | None, int]:
    """Return what `use` makes of a file's rows, None if it has none; and the dropped lines.

    The types are those of all rows. What cannot be parsed is refused, or dropped.
    """
    first = next(_lines(file), None)
    if first is None:
        return None, 0
    if (problem := _problem(first[1])) and options.on_bad_row == "error":
        _refuse(file, *first, problem)
    path = _plain(file, scratch)
    try:
        return use(pl.scan_ndjson(path, infer_schema_length=None)), 0
    except pl.exceptions.PolarsError as error:
        if options.on_bad_row == "error":
            for line, text in _lines(file):
                if problem := _problem(text):
                    _refuse(file, line, text, problem)
            raise _unreadable(file, error) from error
    copy = _new(scratch)
    bad = good = 0
    with copy.open("w", encoding="utf-8") as out:
        for _, text in _lines(file):
            whole = _problem(text) is None
            good, bad = good + whole, bad + (not whole)
            out.write(text.strip() + "\n" if whole else "")
    if not good:
        return None, bad
    try:
        return use(pl.scan_ndjson(copy, infer_schema_length=None)), bad
    except pl.exceptions.PolarsError as error:
        raise _unreadable(file, error) from error


def _sink(
    frame: pl.LazyFrame,
    *,
    file: TextFile,
    options: ReadingOptions,
    columns: Sequence[str],
    target: Path,
) -> Path:
    """Write columns as Parquet."""
    schema = frame.collect_schema()
    found = [_column(name, schema, file.path, options) for name in columns]
    frame.select(found).sink_parquet(target)
    return target


def _unreadable(file: TextFile, error: Exception) -> DataError:
    return DataError(
        f"{file.path} should have one JSON object a line, and one type a key. Polars reports: "
        f"{error}. Correct the file, or leave the key out of the recipe."
    )


def _plain(file: TextFile, scratch: Path) -> Path:
    """Return the file, or a copy that Polars can read."""
    if file.is_utf8 and file.compression in _POLARS:
        with file.opened() as stream:
            if stream.read(len(_BOM)) != _BOM:
                return file.path
    copy = _new(scratch)
    with copy.open("w", encoding="utf-8", newline="") as out, file.text() as lines:
        while text := lines.read(1 << 20):
            out.write(text)
    return copy


def _new(scratch: Path) -> Path:
    return scratch / f"json-{len(list(scratch.iterdir()))}.jsonl"


def _lines(file: TextFile) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, after its number."""
    with file.text() as lines:
        for number, text in enumerate(lines, start=1):
            if text.strip():
                yield number, text


def _problem(text: str) -> str | None:
    """Return why a line is no JSON object; None if it is one."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        return str(error)
    return None if type(value) is dict else f"a value of type {type(value).__name__}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse(file: TextFile, line: int, text: str, problem: str) -> NoReturn:
    array = (
        "The file looks like one array: write one object a line (jq -c '.[]' does)"
        if text.lstrip().startswith("[")
        else "Fix the line, or set `source.on_bad_row: drop`"
    )
    raise DataError(
        f"{file.path}, line {line}: each line should be one JSON object. Found "
        f"{text.strip()[:_SHOWN]!r} ({problem}). {array}."
    )
