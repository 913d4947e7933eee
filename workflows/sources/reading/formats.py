"""Formats and compressions of raw files, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple

Form = Literal["parquet", "csv", "tsv", "jsonl"]
Compression = Literal["none", "gzip", "bz2", "xz", "zstd"]

#: A codec in the name of a Parquet file says how its pages are compressed: pandas users write it.
_PARQUET_CODECS = ("brotli", "gz", "gzip", "lz4", "snappy", "zst", "zstd")
_PARQUET: Final = (".parquet", ".pq", *(f".parquet.{codec}" for codec in _PARQUET_CODECS))
_COMPRESSIONS: Final[dict[str, Compression]] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
}
#: Endings of text files, without that of a compression.
_TEXT: Final[dict[str, Form]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
#: What tools write beside data: checksums, descriptions.
_METADATA_SUFFIXES = (".crc", ".md", ".md5", ".sha1", ".sha256")
_METADATA_NAMES = ("readme", "license", "licence", "thumbs.db", "desktop.ini")


class FileKind(NamedTuple):
    """The format of a file, and how the whole of it is compressed."""

    form: Form
    compression: Compression


def kind_of(path: Path) -> FileKind | None:
    """Return a file's format and compression by its name; None for any other file.

    Examples
    --------
    >>> kind_of(Path("log/2024.csv.gz"))
    FileKind(form='csv', compression='gzip')
    >>> kind_of(Path("part-0.parquet.zstd"))
    FileKind(form='parquet', compression='none')
    >>> kind_of(Path("notes.txt"))
    """
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return FileKind("parquet", "none")
    form = _TEXT.get(without_compression(Path(name)).suffix)
    return FileKind(form, compression_of(path)) if form else None


def compression_of(path: Path) -> Compression:
    """Return how the whole of a file is compressed, by its name.

    Examples
    --------
    >>> compression_of(Path("checkins.txt.gz"))
    'gzip'
    """
    return _COMPRESSIONS.get(path.suffix.lower(), "none")


def form_of(path: Path, given: Form | None) -> Form:
    """Return the format of a data file: the one given, else by its name."""
    kind = kind_of(path)
    return given or (kind.form if kind else "csv")


def is_metadata(path: Path) -> bool:
    """Tell whether a file is one that tools write beside data, such as a checksum or a README.

    Names that begin with ``.`` or ``_`` are hidden, which is another matter.
    """
    name = path.name.lower()
    return name.endswith(_METADATA_SUFFIXES) or name.startswith(_METADATA_NAMES)


def without_compression(path: Path) -> Path:
    """Return the path of the file that decompressing this one would write."""
    compressed = path.suffix.lower() in _COMPRESSIONS
    return path.with_suffix("") if compressed else path
