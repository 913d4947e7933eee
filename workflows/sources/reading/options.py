"""How raw files are read: the keys of `source` that say what their text means."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import Field, field_validator

from towermill.section import Section
from towermill.workflows.sources.reading.formats import Compression, Form

#: What a column of text may be declared to hold.
Declared = Literal["text", "integer", "number"]
Normalization = Literal["strip", "lower"]


class ReadingOptions(Section):
    """How the files of a table are read.

    Of CSV and TSV alone: `separator`, `columns`, `quote_char` and `decimal`.

    Parameters
    ----------
    format
        ``parquet``, ``csv``, ``tsv`` or ``jsonl``, for files whose names do not end so.
    compression
        Of whole files of text: ``none``, ``gzip``, ``bz2``, ``xz``, ``zstd``; by default what
        the name of each says.
    separator
        One character between fields; by default a comma in CSV and a tab in TSV.
    columns
        The names of the fields, for files without a header; an empty name skips a field.
    quote_char
        What encloses fields that hold separators, line ends or quotes (doubled); None, ``null`` in
        YAML, takes quotes as plain characters.
    decimal
        The decimal sign of numbers.
    encoding
        Of the text, by a name that Python knows.
    date_format
        Of times that are text, as of `strptime` (``%d.%m.%Y``); by default ISO 8601.
    null_values
        What marks a missing value, in any column. By default empty fields; and ids that are
        ``NULL``, ``None``, ``nan`` or the like are missing as well.
    on_bad_row
        What a row is that has too many or too few fields, or a value that its column cannot have:
        an ``error``, or one to ``drop`` and count.
    normalize_ids
        What is done to ids that are text: ``strip`` takes blanks off their ends, ``lower`` makes
        them lower case.
    """

    format: Form | None = None
    compression: Compression | None = None
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    quote_char: str | None = Field(default='"', min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    date_format: str | None = Field(default=None, min_length=1)
    null_values: tuple[str, ...] | None = None
    on_bad_row: Literal["error", "drop"] = "error"
    normalize_ids: tuple[Normalization, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(
                f"should be an encoding that Python knows, such as utf-8 or latin-1. Received: "
                f"{value!r}"
            ) from None
        return value

    @field_validator("columns")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if twice := [name for name in value or () if name and (value or ()).count(name) > 1]:
            raise ValueError(f"should name each column once. Received twice: {twice[0]!r}")
        return value

    @field_validator("separator", "quote_char")
    @classmethod
    def _one_byte(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or value in "\r\n\0"):
            raise ValueError(f"should be one ASCII character, no line end. Received: {value!r}")
        return value

    def separator_of(self, form: Form) -> str:
        """Return what separates the fields of a file of this format."""
        return self.separator or ("\t" if form == "tsv" else ",")
