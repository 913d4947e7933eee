"""CSV and TSV files as one table of text, in which each record has the fields of its header."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from towermill.errors import DataError
from towermill.workflows.sources.reading.casting import missing
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.text.batches import batches
from towermill.workflows.sources.reading.text.endings import check_end
from towermill.workflows.sources.reading.text.quotes import check_quotes
from towermill.workflows.sources.reading.text.text_files import Glance, TextFile, glance

logger = logging.getLogger(__name__)

#: Characters of a line that an error shows.
_SHOWN = 80


@dataclass(frozen=True)
class TextTable:
    """The columns of CSV or TSV files as text, in the order of the files.

    Attributes
    ----------
    frame
        The columns asked for, all String; a missing value is null.
    rows
        Of each file.
    dropped
        Records with too many or too few fields, with `on_bad_row: drop`.
    """

    frame: pl.LazyFrame
    rows: dict[TextFile, int]
    dropped: int = 0

    def rows_of(self, file: TextFile) -> pl.LazyFrame:
        """Return the rows of one file."""
        files = list(self.rows)
        before = sum(self.rows[other] for other in files[: files.index(file)])
        return self.frame.slice(before, self.rows[file])

    def place(self, row: int) -> str:
        """Return the file and line of a row, counted from 0."""
        for file, rows in self.rows.items():
            if row < rows:
                width = len(file.header())
                whole = (line for line, fields in file.records() if len(fields) == width)
                line = next(line for i, line in enumerate(whole) if i == row + (file.names is None))
                return f"{file.path}, line {line}"
            row -= rows
        raise IndexError(row)


@dataclass
class _Bad:
    """What is wrong with the records of a file: the first one, and how many."""

    expected: int = 0
    found: int = 0
    text: str = ""
    count: int = 0
    blank: int = 0
    drop: bool = False

    def __call__(self, row: Any) -> str:
        if not row.text.strip():
            self.blank += 1
            return "skip"
        if not self.count:
            self.expected, self.found = row.expected_columns, row.actual_columns
            self.text = row.text
        self.count += 1
        return "skip" if self.drop else "error"


def read_text(
    files: Sequence[Path], options: ReadingOptions, columns: Sequence[str] | None, scratch: Path
) -> TextTable:
    """Read columns of CSV or TSV files as text, into an Arrow file in `scratch`.

    Blank lines, and files with nothing but a header, are no rows. Each file may have its columns in
    an order of its own, and columns that are not read.

    Parameters
    ----------
    columns
        Their names; None for all that every file has.

    Raises
    ------
    DataError
        A column is missing from a file; the text is not in the encoding that the options name; a
        record has too many or too few fields (unless dropped); quotes join lines, are not closed,
        or are followed by text; the last line is cut.
    """
    opened = [TextFile.of(path, options) for path in files]
    headers = {file: file.header() for file in opened}
    if columns is None:
        first, *others = headers.values()
        columns = [name for name in first if name and all(name in names for names in others)]
    for file, names in headers.items():
        for name in columns:
            if name not in names:
                raise DataError(missing(name, names, str(file.path)))
    target = scratch / f"text-{len(list(scratch.iterdir()))}.arrow"
    schema = pa.schema([(name, pa.string()) for name in columns])
    rows: dict[TextFile, int] = {}
    unended: list[TextFile] = []
    dropped = 0
    with pa.ipc.new_file(target, schema) as out:
        for file in opened:
            if file.compression != "none":
                logger.info("Reading %s (%s)", file.path.name, file.compression)
            plain = file.decoded(scratch)
            seen = glance(plain)
            bad = _Bad(drop=options.on_bad_row == "drop")
            rows[file] = _copy(file, plain, seen, schema, options, bad, out)
            if seen.quotes:
                check_quotes(plain, file.path, seen, rows[file] + bad.count + bad.blank)
            if not seen.ended and rows[file]:
                unended.append(file)
            dropped += bad.count
    table = TextTable(pl.scan_ipc(target, glob=False), rows, dropped)
    for file in unended:
        if (last := headers[file][-1]) in columns:
            check_end(table.rows_of(file).select(last), file.path)
    if dropped:
        logger.warning("Dropped %d rows with too many or too few fields", dropped)
    return table


def _copy(
    file: TextFile,
    plain: TextFile,
    seen: Glance,
    schema: pa.Schema,
    options: ReadingOptions,
    bad: _Bad,
    out: pa.ipc.RecordBatchFileWriter,
) -> int:
    """Write the rows of one file and return how many there are."""
    # Arrow takes a header without a line end for no table at all.
    if seen.lines < 1 + (file.names is None):
        return 0
    rows = 0
    try:
        for batch in batches(plain, schema.names, options.null_values or (), bad):
            out.write_batch(batch)
            rows += batch.num_rows
    except pa.ArrowInvalid as error:
        if bad.count:
            raise _bad_record(file, plain, bad, seen) from error
        if "Empty CSV" in str(error):
            return 0
        raise DataError(
            f"{file.path} should be {file.form.upper()} in {file.encoding}. Reading it failed: "
            f"{str(error).rstrip('.')}. Mend the file, or set `source.encoding` (latin-1, cp1252, "
            "utf-16 …)."
        ) from error
    return rows


def _bad_record(file: TextFile, plain: TextFile, bad: _Bad, seen: Glance) -> DataError:
    # Arrow's row numbers leave out blank lines.
    records = ((line, row) for line, row in plain.records() if len(row) != bad.expected)
    line, _ = next(records, (0, []))
    quotes = ", or if its quotes are plain characters set `source.quote_char: null`"
    cut = bad.text.strip() == seen.last_line.strip() and not seen.ended
    told = "the header has" if file.names is None else "`columns` names"
    return DataError(
        f"{file.path}, line {line}: each line should have {bad.expected} fields, as {told}. "
        f"Found {bad.found}: {bad.text[:_SHOWN]!r}. "
        + ("The file ends within this line: copy it again" if cut else "Mend the line")
        + (quotes if seen.quotes else "")
        + ", or set `source.on_bad_row: drop`."
    )
