"""Files, folders and globs: what is read, what is skipped, what is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Mapping
from typing import Any

import polars as pl
from catalogue import Case, Content

HEAD = "user_id,item_id\n"
ONE, TWO = HEAD + "1,7\n2,8\n", HEAD + "3,9\n4,7\n"
ROWS = [(1, 7), (2, 8), (3, 9), (4, 7)]
TABLE = pl.DataFrame({"user_id": [1, 2], "item_id": [7, 8]})


def folder(name: str, files: Mapping[str, Content], rows: Any = None, **keys: Any) -> Case:
    """Return a case whose interactions are the folder ``log``."""
    refused = keys.pop("refused", None)
    return Case(
        f"folder: {name}", {f"log/{n}": c for n, c in files.items()}, keys, rows, refused=refused
    )


def hidden(name: str) -> Case:
    """Return a case of a copy in a place that is no data."""
    return folder(f"{name} is skipped", {"a.csv": ONE, "b.csv": TWO, name: ONE}, ROWS)


FOLDERS = [
    folder("two files", {"a.csv": ONE, "b.csv": TWO}, ROWS),
    folder("two files below", {"x=1/a.csv": ONE, "x=2/b.csv": TWO}, ROWS),
    folder("three levels below", {"2024/01/a.csv": ONE, "2024/02/b.csv": TWO}, ROWS),
    folder(
        "files here and below",
        {"a.csv": ONE, "old/b.csv": TWO},
        refused="either directly or in folders below",
    ),
    folder("nothing", {".keep": ""}, refused="Found none"),
    folder("a header alone among files", {"a.csv": ONE, "b.csv": HEAD, "c.csv": TWO}, ROWS),
    folder(
        "columns in another order in one file",
        {"a.csv": ONE, "b.csv": "item_id,user_id\n9,3\n7,4\n"},
        ROWS,
    ),
    folder(
        "an unused column in one file",
        {"a.csv": ONE, "b.csv": "user_id,item_id,x\n3,9,a\n4,7,b\n"},
        ROWS,
    ),
    folder(
        "a missing column in one file",
        {"a.csv": ONE, "b.csv": "user_id,x\n3,9\n"},
        refused="item_id",
    ),
    folder(
        "text in one file, numbers in the other",
        {"a.csv": ONE, "b.csv": HEAD + "3,x\n4,7\n"},
        [(1, "7"), (2, "8"), (3, "x"), (4, "7")],
    ),
    folder("spaces and commas in names", {"a b, c.csv": ONE, "d.csv": TWO}, ROWS),
    folder("brackets in names", {"[a].csv": ONE, "b.csv": TWO}, ROWS),
    folder("suffixes in capitals", {"a.CSV": ONE, "b.CSV": TWO}, ROWS),
    folder("CSV and Parquet", {"a.csv": ONE, "b.parquet": TABLE}, refused="one format"),
    folder("CSV and TSV", {"a.csv": ONE, "b.tsv": TWO.replace(",", "\t")}, refused="one format"),
    *(
        folder(f"CSV and a file {name}", {"a.csv": ONE, name: TWO}, refused="another|one format")
        for name in (
            "b.txt",
            "b",
            "b.dat",
            "b.csv.bak",
            "b.csv~",
            "b.xlsx",
            "b.json",
            "b.csv.zip",
            "b.csv.tmp",
        )
    ),
    *(
        hidden(name)
        for name in (
            *(
                ".a.csv",
                "_SUCCESS",
                "_committed_1",
                ".a.csv.crc",
                "a.csv.crc",
                "a.csv.sha256",
                "README.md",
                "LICENSE",
            ),
            *(
                ".ipynb_checkpoints/a-checkpoint.csv",
                "_temporary/0/a.csv",
                ".hive-staging/a.csv",
                "_delta_log/0.csv",
            ),
            *("_spark_metadata/0.csv", ".git/a.csv", ".cache/x/y/a.csv", "_tmp/deep/er/a.csv"),
        )
    ),
    folder("all endings, as the recipe says", {"a.txt": ONE, "b.log": TWO}, ROWS, format="csv"),
    folder("no endings, as the recipe says", {"part-0": ONE, "part-1": TWO}, ROWS, format="csv"),
]


def packed(name: str, ending: str, content: bytes, **keys: Any) -> Case:
    """Return a case of one compressed file."""
    refused = keys.pop("refused", None)
    rows = None if refused else ROWS[:2]
    return Case(f"compressed: {name}", {f"log{ending}": content}, keys, rows, refused=refused)


_PLAIN = ONE.encode()
_ZSTD = bytes.fromhex("28b52ffd")
COMPRESSED = [
    packed("gzip", ".csv.gz", gzip.compress(_PLAIN)),
    packed("bzip2", ".csv.bz2", bz2.compress(_PLAIN)),
    packed("xz", ".csv.xz", lzma.compress(_PLAIN)),
    packed("TSV", ".tsv.gz", gzip.compress(_PLAIN.replace(b",", b"\t"))),
    packed(
        "gzip in two members", ".csv.gz", gzip.compress(_PLAIN[:20]) + gzip.compress(_PLAIN[20:])
    ),
    packed("gzip, cut", ".csv.gz", gzip.compress(_PLAIN)[:-9], refused=r"log\.csv\.gz"),
    packed(
        "gzip, one bit flipped",
        ".csv.gz",
        gzip.compress(_PLAIN)[:-8] + b"\0" * 8,
        refused=r"log\.csv\.gz",
    ),
    packed("plain, named as gzip", ".csv.gz", _PLAIN, refused=r"log\.csv\.gz"),
    packed("plain, named as zstd", ".csv.zst", _PLAIN, refused=r"log\.csv\.zst"),
    packed("zstd, a header alone", ".csv.zst", _ZSTD, refused=r"log\.csv\.zst"),
    packed(
        "gzip, named as plain",
        ".csv",
        gzip.compress(_PLAIN),
        refused="(?i)utf-8|encoding|gzip|compress",
    ),
    packed("gzip, as the recipe says", ".csv", gzip.compress(_PLAIN), compression="gzip"),
    packed("an empty gzip", ".csv.gz", gzip.compress(b""), refused="(?i)empty|no (rows|header)"),
    packed(
        "zip",
        ".csv.zip",
        b"PK\x03\x04" + bytes(60),
        refused="another ending|Found none|should name",
    ),
    folder(
        "one file twice, packed and plain",
        {"a.csv": ONE, "a.csv.gz": gzip.compress(_PLAIN)},
        refused="each file once",
    ),
    folder("packed and plain files", {"a.csv": ONE, "b.csv.gz": gzip.compress(TWO.encode())}, ROWS),
]

PLACES = [
    Case(
        "path: nothing is there",
        {"log.csv": ONE},
        {"interactions": {"path": "/nowhere/log.csv"}},
        refused="nothing is at",
    ),
    Case(
        "path: a glob of nothing",
        {"log.csv": ONE},
        {"interactions": {"path": "/nowhere/*.csv"}},
        refused="Found none",
    ),
    Case("path: another kind of file", {"log.xlsx": b"PK"}, refused="xlsx|should name"),
    Case(
        "path: a picture named CSV",
        {"log.csv": b"\x89PNG\r\n\x1a\n" + bytes(range(256))},
        refused="(?i)utf-8|encoding",
    ),
    Case(
        "path: HTML named CSV",
        {"log.csv": "<!DOCTYPE html>\n<html><body>Not found</body></html>\n"},
        refused="user_id",
    ),
    Case(
        "path: JSON named CSV", {"log.csv": '[{"user_id": 1, "item_id": 7}]\n'}, refused="user_id"
    ),
    Case("path: CSV named Parquet", {"log.parquet": ONE}, refused="(?i)parquet"),
    Case(
        "path: Parquet named CSV",
        {"log.csv": b"PAR1" + bytes(range(256)) + b"PAR1"},
        refused="(?i)utf-8|encoding|user_id",
    ),
]

CASES: list[Case] = [*FOLDERS, *COMPRESSED, *PLACES]
