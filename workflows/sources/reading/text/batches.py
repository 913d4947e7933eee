"""Records of a text file, parsed by Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from towermill.workflows.sources.reading.text.text_files import TextFile

#: Bytes parsed at a time; a record must fit.
_BLOCK = 8 << 20


def batches(
    file: TextFile, columns: Sequence[str], null_values: Sequence[str], bad: Any
) -> arrow_csv.CSVStreamingReader:
    """Open a file of UTF-8 text: batches of its columns, all strings.

    Parameters
    ----------
    bad
        Called with each record that has too many or too few fields; returns ``skip`` or ``error``.
    """
    compression = None if file.compression == "none" else file.compression
    return arrow_csv.open_csv(
        pa.input_stream(str(file.path), compression=compression),
        read_options=arrow_csv.ReadOptions(block_size=_BLOCK, column_names=file.names),
        parse_options=arrow_csv.ParseOptions(
            delimiter=file.separator,
            quote_char=file.quote or False,
            newlines_in_values=file.quote is not None,
            invalid_row_handler=bad,
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=["", *null_values],
        ),
    )
