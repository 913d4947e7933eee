"""A sample of any file's rows, and the options with which a recipe reads the file."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from towermill.errors import DataError
from towermill.workflows.sources.guessing.dialect import dialect_of, encoding_of, records
from towermill.workflows.sources.reading.formats import Form, kind_of
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.parquet import parquet_schema
from towermill.workflows.sources.reading.text.text_files import TextFile

#: Characters of text, and rows of Parquet, that are looked at.
_CHARACTERS = 4 << 20
_ROWS = 200_000
#: Marks of a missing value, beside empty fields.
_MARKS = ("NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", r"\N", "-", "?")
_NUMBER = r"^\s*[+-]?\d+([.,]\d+)?\s*$"
#: Share of a column's values that must be numbers for the others to be marks.
_NUMBERS = 0.1


@dataclass(frozen=True)
class Sample:
    """Rows of one table.

    Attributes
    ----------
    path
        What the recipe names: a file, folder or glob.
    files
        Its files; the rows are of the first one.
    reading
        Keys of `ReadingOptions` that are not the defaults.
    frame
        Columns of text files are String, an empty field null. Objects are left out.
    rows
        How many the table has, estimated if the sample is not whole.
    whole
        Whether the sample has all rows.
    nested
        Keys of JSON lines, and columns of Parquet, that hold objects.
    """

    path: str
    files: tuple[Path, ...]
    form: Form
    reading: dict[str, Any]
    frame: pl.DataFrame
    rows: int
    whole: bool
    nested: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether the file names its columns."""
        return "columns" not in self.reading

    @property
    def is_text(self) -> bool:
        """Whether all columns are read from text."""
        return self.form in ("csv", "tsv")

    def renamed(self, names: Sequence[str]) -> Sample:
        """Return the sample of a file without a header with names for its columns."""
        given = iter(names)
        columns = [next(given) if name else "" for name in self.reading["columns"]]
        frame = self.frame.rename(dict(zip(self.frame.columns, names, strict=True)))
        return replace(self, frame=frame, reading={**self.reading, "columns": columns})


def open_sample(path: Path) -> Sample:
    """Return a sample of a file.

    Raises
    ------
    DataError
        It is no table that Towermill reads.

    Examples
    --------
    >>> _ = Path("log.csv").write_text("user;item\\na;1\\nb;2\\n")
    >>> sample = open_sample(Path("log.csv"))
    >>> sample.reading, sample.rows, sample.frame.rows()
    ({'separator': ';'}, 2, [('a', '1'), ('b', '2')])
    """
    kind = kind_of(path)
    form: Form | None = kind.form if kind else None
    with path.open("rb") as raw:
        start = raw.read(4)
    if form == "parquet" or start == b"PAR1":
        return _parquet(path, form is None)
    if not start:
        raise DataError(f"{path} is empty.")
    file = TextFile.of(path, ReadingOptions(format=form or "csv"))
    encoding = encoding_of(path, file)
    text, whole = _text(replace(file, encoding=encoding))
    first = text.lstrip()[:1]
    if form == "jsonl" or (form is None and first in ("{", "[")):
        return _json_lines(path, text, whole, encoding, form is None)
    return _delimited(path, text, whole, encoding, form)


def _text(file: TextFile) -> tuple[str, bool]:
    """Return the first lines of a file, and whether these are all."""
    with file.text() as stream:
        text = stream.read(_CHARACTERS)
        if not stream.read(1):
            return text, True
    return text[: text.rfind("\n") + 1] or text, False


def _estimate(path: Path, text: str, rows: int, encoding: str) -> int:
    kind = kind_of(path)
    # Of packed text, a third of its size is usual.
    packed = 3 if kind is not None and kind.compression != "none" else 1
    return int(rows * path.stat().st_size * packed / max(len(text.encode(encoding)), 1))


def _parquet(path: Path, named: bool) -> Sample:
    schema = parquet_schema(path)
    nested = tuple(name for name, kind in schema.items() if _is_nested(kind))
    scan = pl.scan_parquet(path, glob=False, hive_partitioning=False).drop(nested)
    rows = scan.select(pl.len()).collect().item()
    step = max(rows // _ROWS, 1)
    frame = scan.gather_every(step).collect(engine="streaming") if step > 1 else scan.collect()
    reading = {"format": "parquet"} if named else {}
    return Sample(str(path), (path,), "parquet", reading, frame, rows, step == 1, nested)


def _json_lines(path: Path, text: str, whole: bool, encoding: str, named: bool) -> Sample:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path} should have one JSON object a line. It has none.")
    try:
        is_object = type(json.loads(lines[0])) is dict
        if not is_object:
            raise ValueError(f"{lines[0][:40]!r} is no object")
        content = io.BytesIO("\n".join(lines).encode())
        frame = pl.read_ndjson(content, infer_schema_length=None)
    except (ValueError, pl.exceptions.PolarsError) as error:
        array = " Of one array, `jq -c '.[]'` makes lines." if lines[0].startswith("[") else ""
        raise DataError(f"{path} should have one JSON object a line: {error}.{array}") from error
    nested = tuple(name for name, kind in frame.schema.items() if _is_nested(kind))
    frame = frame.drop(nested)
    frame = frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep())
    rows = frame.height if whole else _estimate(path, text, frame.height, encoding)
    reading: dict[str, Any] = {"format": "jsonl"} if named else {}
    reading |= {"encoding": encoding} if encoding != "utf-8" else {}
    return Sample(str(path), (path,), "jsonl", reading, frame, rows, whole, nested)


def _delimited(path: Path, text: str, whole: bool, encoding: str, form: Form | None) -> Sample:
    dialect = dialect_of(text, path)
    reading: dict[str, Any] = {}
    if form is None:
        form = "tsv" if dialect.separator == "\t" else "csv"
        reading["format"] = form
    if dialect.separator != ReadingOptions().separator_of(form):
        reading["separator"] = dialect.separator
    found = records(text, dialect.separator, dialect.quote)
    if not whole:
        found.pop()  # a quoted field may be cut
    if any('"' in field for row in found for field in row) and dialect.quote is None:
        reading["quote_char"] = None
    elif dialect.quote == "'":
        reading["quote_char"] = "'"
    if encoding != "utf-8":
        reading["encoding"] = encoding
    width = max({len(row) for row in found[:200]}, key=[len(row) for row in found[:200]].count)
    names = found.pop(0) if dialect.header else [f"column_{i + 1}" for i in range(width)]
    taken = [i for i in range(width) if not (dialect.wide and i % 2)]
    if not dialect.header:
        reading["columns"] = [names[i] if i in taken else "" for i in range(width)]
    rows = [row for row in found if len(row) == width]
    if len(rows) < len(found):
        reading["on_bad_row"] = "drop"
    columns = {names[i]: [row[i] or None for row in rows] for i in taken if names[i]}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    if marks := _marks(frame):
        reading["null_values"] = marks
        text_of = pl.col(pl.String)
        frame = frame.with_columns(pl.when(~text_of.is_in(marks)).then(text_of).name.keep())
    count = len(rows) if whole else _estimate(path, text, len(rows), encoding)
    return Sample(str(path), (path,), form, reading, frame, count, whole)


def _marks(frame: pl.DataFrame) -> list[str]:
    """Return the marks of missing values in columns that otherwise hold numbers."""
    found: dict[str, None] = {}
    for column in frame.get_columns():
        values = column.drop_nulls()
        odd = values.filter(~values.str.contains(_NUMBER))
        if 0 < odd.len() <= (1 - _NUMBERS) * values.len() and odd.is_in(_MARKS).all():
            found |= dict.fromkeys(odd.unique().sort())
    return list(found)


def _is_nested(kind: pl.DataType) -> bool:
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else None
    return kind == pl.Struct or kind == pl.Binary or (inner is not None and inner.is_nested())
