"""Delimited text files as streams: decompressed, decoded, and looked through once."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from towermill.errors import DataError
from towermill.workflows.sources.reading.formats import (
    Compression,
    Form,
    compression_of,
    form_of,
)
from towermill.workflows.sources.reading.options import ReadingOptions

#: Bytes read at a time: few enough to stay in a processor's cache.
_BLOCK = 1 << 20
_UTF8 = ("utf-8", "utf8", "utf_8", "utf-8-sig", "utf_8_sig", "ascii", "us-ascii")
#: Of a field: descriptions and HTML go far past the 128 KiB that the module csv allows.
_LONGEST_FIELD = 2**31 - 1


@dataclass(frozen=True)
class TextFile:
    """One CSV or TSV file, and how its text is cut into fields.

    Attributes
    ----------
    names
        Names of the fields where the recipe gives them; else the first record has them.
    """

    path: Path
    form: Form
    compression: Compression
    separator: str
    quote: str | None
    encoding: str
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, path: Path, options: ReadingOptions) -> TextFile:
        """Return the file as its name and `options` describe it."""
        form = form_of(path, options.format)
        return cls(
            path,
            form,
            options.compression or compression_of(path),
            options.separator_of(form),
            options.quote_char,
            options.encoding.lower(),
            options.columns,
        )

    @property
    def is_utf8(self) -> bool:
        """Whether its bytes need no decoding."""
        return self.encoding in _UTF8

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the decompressed bytes."""
        openers: dict[str, Any] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
        if self.compression == "zstd":
            stream: Any = pa.input_stream(str(self.path), compression="zstd")
        else:
            stream = openers.get(self.compression, open)(self.path, "rb")
        with stream:
            yield stream

    def blocks(self) -> Iterator[bytes]:
        """Yield the decompressed bytes, some megabytes at a time.

        Raises
        ------
        DataError
            The file cannot be opened, or its compression is damaged or cut short.
        """
        try:
            with self.opened() as stream:
                while block := stream.read(_BLOCK):
                    yield block
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DataError(
                f"{self.path} should be whole and readable ({self.compression} compression). "
                f"Reading it failed: {error}. Copy it again."
            ) from error

    def decoded(self, scratch: Path) -> TextFile:
        """Return this file, or if its text is not UTF-8, or xz, a plain UTF-8 copy in `scratch`."""
        if self.is_utf8 and self.compression != "xz":
            return self
        copy = scratch / f"{len(list(scratch.iterdir()))}-{self.path.name}.{self.form}"
        with copy.open("w", encoding="utf-8", newline="") as out, self.text() as lines:
            while text := lines.read(_BLOCK):
                out.write(text)
        return replace(self, path=copy, compression="none", encoding="utf-8")

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Open the decoded text; a mark of the byte order is left out."""
        encoding = "utf-8-sig" if self.is_utf8 else self.encoding
        try:
            with self.opened() as stream:
                raw: Any = stream if isinstance(stream, io.IOBase) else io.BufferedReader(stream)
                yield io.TextIOWrapper(raw, encoding, newline="")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path} should be {self.encoding} text. Reading it failed: {error}. Set "
                "`source.encoding` (latin-1, cp1252, utf-16 …)."
            ) from error
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DataError(f"Cannot read {self.path}: {error}. Copy it again.") from error

    def records(self, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield each record that is not blank, after the line on which it begins.

        Slow: for headers and errors.

        Raises
        ------
        csv.Error
            With `strict`: text follows a closing quote, or the last quote is not closed.
        """
        csv.field_size_limit(_LONGEST_FIELD)
        with self.text() as lines:
            rows = csv.reader(
                lines,
                delimiter=self.separator,
                quotechar=self.quote,
                quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
                strict=strict,
            )
            before = 0
            for row in rows:
                if any(field.strip() for field in row) or len(row) > 1:
                    yield before + 1, row
                before = rows.line_num

    def header(self) -> list[str]:
        """Return the names of the columns: those that the recipe gives, else the first record.

        Raises
        ------
        DataError
            The file is empty, or a name occurs twice.
        """
        if self.names is not None:
            return list(self.names)
        found = next(self.records(), None)
        if found is None:
            raise DataError(
                f"Cannot read {self.path}: it should begin with a header that names its columns, "
                "and is empty. Remove it, or write its rows again."
            )
        line, names = found
        if any("\0" in name for name in names):
            raise DataError(
                f"{self.path} should be {self.encoding} text. Its header holds NUL characters: "
                "set `source.encoding` (utf-16, say), or `source.format` if it is no text."
            )
        twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
        if twice:
            raise DataError(
                f"{self.path}, line {line}: the header should name each column once. "
                f"{', '.join(map(repr, twice))} occurs {names.count(twice[0])} times. Rename or "
                "remove one."
            )
        return names


@dataclass(frozen=True)
class Glance:
    """What one pass over the bytes of a file tells.

    Attributes
    ----------
    lines
        How many there are, the last one counted even if no line end follows it.
    ended
        Whether the last line has a line end.
    quotes
        Whether there is any quote character.
    odd_quotes
        Whether a quote stands within text: one that is doubled, or one where none should be.
    last_line
        The last line that is not blank, as far as the last block holds it.
    """

    lines: int
    ended: bool
    quotes: bool
    odd_quotes: bool
    last_line: str


def glance(file: TextFile) -> Glance:
    """Look through the bytes of `file` once."""
    quote = (file.quote or "").encode()
    ends, quotes, odd_quotes, tail = 0, False, False, b"\n"
    for block in file.blocks():
        ends += block.count(b"\n") or block.count(b"\r")
        if quote and quote in block:
            quotes = True
            odd_quotes = odd_quotes or _has_odd(tail[-2:] + block, file)
        tail = (tail if len(block) < 1 << 16 else b"") + block
    ended = tail.endswith((b"\n", b"\r"))
    last = tail.rstrip().replace(b"\r", b"\n").rpartition(b"\n")[2]
    return Glance(ends + (not ended), ended, quotes, odd_quotes, last.decode("utf-8", "replace"))


def _has_odd(text: bytes, file: TextFile) -> bool:
    """Tell whether a quote has neither a separator nor a line end on either side."""
    characters = np.frombuffer(text, dtype=np.uint8)
    edges = characters == ord(file.separator)
    edges |= characters == ord("\n")
    edges |= characters == ord("\r")
    quotes = characters[1:-1] == ord(file.quote or "")
    return bool((quotes > (edges[:-2] | edges[2:])).any())
