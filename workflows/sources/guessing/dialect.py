"""Encoding, separator, quote character and header of a text file."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from towermill.errors import DataError
from towermill.workflows.sources.guessing.names import entity_of, is_key, words_of
from towermill.workflows.sources.reading.text.text_files import TextFile

#: Lines on which separators are compared.
_LINES, _HEAD = 200, 1 << 20
_SEPARATORS = "\t;|,"
#: Decompressed bytes that are decoded to see that they are UTF-8.
_DECODED = 1 << 29
#: Share of lines that must have as many fields as most have.
_EVEN = 0.95


@dataclass(frozen=True)
class Dialect:
    """How the text of a file is cut into fields.

    Attributes
    ----------
    wide
        Whether the separator is written twice (``::``): every second field is then empty.
    header
        Whether the first record names the columns.
    """

    separator: str
    quote: str | None
    header: bool
    wide: bool = False


def encoding_of(path: Path, file: TextFile) -> str:
    """Return the encoding of a file: by its first bytes, or because all of it is UTF-8.

    Text that is neither UTF-8 nor UTF-16 is taken for Windows' Latin-1 (``cp1252``), or for
    ``latin-1`` where it has bytes that cp1252 lacks.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen, utf8, head = 0, True, b""
    high: set[int] = set()
    for block in file.blocks():
        head = head or block[:4]
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in block[:1000]:
            raise DataError(f"{path} should be text. It holds NUL bytes.")
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            utf8 = False
        if not utf8:
            high |= set(block) & set(range(0x80, 0xA0))
        seen += len(block)
        if seen > _DECODED:
            break
    if utf8:
        return "utf-8"
    return "latin-1" if high & {0x81, 0x8D, 0x8F, 0x90, 0x9D} or not high else "cp1252"


def lines_of(text: str) -> list[str]:
    """Return the lines of text that are not blank."""
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def dialect_of(text: str, path: Path) -> Dialect:
    """Return how text is cut into fields.

    Raises
    ------
    DataError
        No separator cuts nearly all lines into the same number of fields.

    Examples
    --------
    >>> dialect_of("1::2::5\\n3::4::1\\n", Path("ratings.dat"))
    Dialect(separator=':', quote=None, header=False, wide=True)
    """
    lines = lines_of(text[:_HEAD])[:_LINES]
    head = "\n".join(lines)
    found: list[tuple[float, int, int, str, str | None]] = []
    for rank, separator in enumerate(_SEPARATORS):
        for quote in ('"', "'", None):
            whole = _whole(lines, quote)
            if quote and not _encloses(whole, separator, quote):
                continue
            width, share = _width(whole, separator, quote)
            if width > 1:
                found.append((round(share, 2), bool(quote), -rank, separator, quote))
                break
    found = [one for one in found if one[0] >= _EVEN]
    if found:
        *_, separator, quote = max(found)
        return Dialect(separator, quote, _has_header(records(head, separator, quote)))
    width, share = _width(lines, "::", None)
    rows = [line.split("::") for line in lines]
    if width > 1 and share >= _EVEN and not any(":" in field for row in rows for field in row):
        return Dialect(":", None, _has_header(rows), wide=True)
    width, share = _width(lines, " ", None)
    if width > 1 and share == 1 and len(lines) > 1:
        rows = records(head, " ", None)
        if all(_is_number(field) for field in rows[-1]):
            return Dialect(" ", None, _has_header(rows))
    raise DataError(
        f"{path} should be a table: lines of as many fields each, between commas, semicolons, tabs "
        f"or bars. Found, for one: {lines[0][:80]!r}."
        if lines
        else f"{path} is empty."
    )


def records(text: str, separator: str, quote: str | None) -> list[list[str]]:
    """Return the records of text that are not blank.

    Examples
    --------
    >>> records('a,"b, c"\\n\\nd,e\\n', ",", '"')
    [['a', 'b, c'], ['d', 'e']]
    """
    csv.field_size_limit(2**31 - 1)
    stream = io.StringIO(text, newline="")
    rows = csv.reader(
        stream,
        delimiter=separator,
        quotechar=quote,
        quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
    )
    return [row for row in rows if len(row) > 1 or (row and row[0].strip())]


def _whole(lines: Sequence[str], quote: str | None) -> Sequence[str]:
    """Return the lines without those of a last record whose quoted field is not closed."""
    if quote is None:
        return lines
    marks = [line.count(quote) for line in lines]
    ends = (end for end in range(len(lines), 0, -1) if sum(marks[:end]) % 2 == 0)
    return lines[: next(ends, len(lines))]


def _encloses(lines: Sequence[str], separator: str, quote: str) -> bool:
    """Tell whether quotes enclose whole fields, and occur elsewhere only when doubled."""
    if not any(quote in line for line in lines):
        return False
    try:
        stream = io.StringIO("\n".join(lines), newline="")
        list(csv.reader(stream, delimiter=separator, quotechar=quote, strict=True))
    except csv.Error:
        return False
    opened = sum(line.startswith(quote) + line.count(separator + quote) for line in lines)
    closed = sum(line.endswith(quote) + line.count(quote + separator) for line in lines)
    marks = sum(line.replace(quote * 2, "").count(quote) for line in lines)
    return opened > 0 and closed > 0 and marks >= opened and (quote == '"' or opened == closed)


def _width(lines: Sequence[str], separator: str, quote: str | None) -> tuple[int, float]:
    """Return the most common number of fields, and the share of the records that have it."""
    if len(separator) > 1:
        sizes = [line.count(separator) + 1 for line in lines]
    else:
        sizes = [len(row) for row in records("\n".join(lines), separator, quote)]
    if not sizes:
        return 0, 0.0
    width, count = Counter(sizes).most_common(1)[0]
    return (width, count / len(sizes)) if sizes[0] == width else (width, 0.0)


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first record names the columns.

    It does not if a field is a number, is empty in the midst, or occurs twice. It does if a column
    of numbers, or of values with digits, begins with a word, or if names are known words.
    """
    first, rest = [field.strip() for field in rows[0]], rows[1:]
    named = [field for field in first if field]
    if any(_is_number(field) for field in named) or len(set(named)) < len(named):
        return False
    if not rest:
        return True
    for i, name in enumerate(first):
        values = [row[i] for row in rest if i < len(row) and row[i].strip()]
        if name and values and all(_is_number(value) for value in values):
            return True
        digits = [any(map(str.isdigit, value)) for value in (name, *values)]
        if len(values) > 2 and not digits[0] and all(digits[1:]):
            return True
    known = [name for name in named if is_key(words_of(name)) or entity_of(words_of(name))]
    return bool(known) and not any(
        row[i] == name for i, name in enumerate(first) for row in rest[:20] if i < len(row)
    )
