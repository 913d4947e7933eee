"""CSV and TSV files: read as they are written, or refused by file and line."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from towermill.errors import DataError
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.text.delimited import TextTable, read_text


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def from_text(
        text: str | bytes, name: str = "a.csv", columns: list[str] | None = None, **options: Any
    ) -> TextTable:
        file = tmp_path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return read_text([file], ReadingOptions(**options), columns, scratch)

    return from_text


def rows(table: TextTable) -> list[tuple[Any, ...]]:
    return table.frame.collect().rows()


class TestLines:
    @pytest.mark.parametrize(
        "text",
        [
            "a,b\n1,2\n3,4\n",
            "a,b\n1,2\n3,4\n\n\n",
            "a,b\n\n1,2\n  \n3,4\n",
            "a,b\r\n1,2\r\n3,4\r\n",
            "a,b\r1,2\r3,4\r",
            "\ufeffa,b\n1,2\n3,4\n",
            '"a","b"\n"1","2"\n"3","4"\n',
        ],
    )
    def test_line_ends_and_blank_lines(self, read: Any, text: str) -> None:
        assert rows(read(text)) == [("1", "2"), ("3", "4")]

    @pytest.mark.parametrize("text", ["a,b", "a,b\n", "a,b\n\n", "\n\na,b"])
    def test_a_header_alone_is_no_rows(self, read: Any, text: str) -> None:
        assert rows(read(text)) == []

    def test_places(self, read: Any) -> None:
        table = read('a,b\n1,"x\ny"\n\n2,z\n')
        assert [table.place(i).rpartition("/")[2] for i in range(2)] == [
            "a.csv, line 2",
            "a.csv, line 5",
        ]

    def test_columns_in_another_order_in_each_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a,b\n1,2\n")
        (tmp_path / "b.csv").write_text("c,b,a\n9,4,3\n")
        (tmp_path / "s").mkdir()
        files = [tmp_path / "a.csv", tmp_path / "b.csv"]
        table = read_text(files, ReadingOptions(), ["a", "b"], tmp_path / "s")
        assert rows(table) == [("1", "2"), ("3", "4")]
        assert table.place(1).endswith("b.csv, line 2")


class TestBadRows:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n\n3\n", "a.csv, line 4: each line should have 2 fields"),
            ("a,b\n1,2\n3,4,5\n", "a.csv, line 3: each line should have 2 fields"),
            ("a,b,c\n1,2,3\n4,5", "ends within this line: copy it again"),
            ("a,b,a\n1,2,3\n", "a.csv, line 1: the header should name each column once. 'a'"),
            ("", "and is empty"),
        ],
    )
    def test_refused(self, read: Any, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read(text, columns=["a"])

    def test_dropped_and_counted(self, read: Any) -> None:
        table = read("a,b\n1,2\n3\n4,5,6\n7,8\n", on_bad_row="drop")
        assert rows(table) == [("1", "2"), ("7", "8")]
        assert table.dropped == 2

    @pytest.mark.parametrize("last", ["16", "160000000", ""])
    def test_a_last_value_that_is_cut(self, read: Any, last: str) -> None:
        lines = "".join(f"{i},160000000{i}\n" for i in range(5))
        with pytest.raises(DataError, match="the last line should be whole"):
            read(f"a,b\n{lines}9,{last}")
        assert len(rows(read(f"a,b\n{lines}9,1600000009"))) == 6

    def test_a_last_word_that_is_cut(self, read: Any) -> None:
        with pytest.raises(DataError, match="'ph', looks cut"):
            read("a,b\n1,tv\n2,phone\n3,tv\n4,ph")
        assert len(rows(read("a,b\n1,tv\n2,phone\n3,tv\n4,phone"))) == 4


class TestQuotes:
    @pytest.mark.parametrize(
        "text",
        [
            'a\tb\tc\n1\t"5\t1\n2\tx\t2\n3\tinch"\t3\n',  # each line a record, if quotes are plain
            'a\tb\n1\t"5\n2\tx\n',
            'a\tb\n1\tx\n2\t"5\n',
            'a\tb\n1\tx\n2\t"5',
            'a\tb\n1\t"quoted" once\n2\tx\n',
        ],
    )
    def test_quotes_that_may_be_plain_are_refused(self, read: Any, text: str) -> None:
        with pytest.raises(DataError, match="quote_char: null"):
            read(text, "a.tsv")
        plain = read(text, "a.tsv", quote_char=None)
        lines = text.splitlines()[1:]
        assert rows(plain) == [tuple(line.split("\t")) for line in lines]

    def test_quotes_within_text_are_plain(self, read: Any) -> None:
        text = 'a\tb\n1\t5"\n2\t5" disk\n'
        assert rows(read(text, "a.tsv")) == [("1", '5"'), ("2", '5" disk')]

    def test_fields_of_several_lines(self, read: Any) -> None:
        text = 'a,b\n1,"x, y\nz"\n2,"say ""hi"" now"\n3,""\n'
        assert rows(read(text)) == [("1", "x, y\nz"), ("2", 'say "hi" now'), ("3", None)]


class TestOptions:
    @pytest.mark.parametrize(
        ("name", "packed"),
        [
            ("a.csv.gz", gzip.compress),
            ("a.csv.bz2", bz2.compress),
            ("a.csv.xz", lzma.compress),
            ("a.csv.zst", lambda raw: pa.compress(raw, codec="zstd", asbytes=True)),
        ],
    )
    def test_compression(self, read: Any, name: str, packed: Any) -> None:
        raw = packed(b"a,b\n" + b"1,2\n" * 5000)
        assert rows(read(raw, name)) == [("1", "2")] * 5000
        with pytest.raises(DataError):
            read(raw[: len(raw) // 2], name)
        kind = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        assert len(rows(read(raw, "b.csv", compression=kind))) == 5000

    @pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
    def test_encoding(self, read: Any, encoding: str) -> None:
        raw = "a,b\n1,café\n".encode(encoding)
        assert rows(read(raw, encoding=encoding)) == [("1", "café")]
        if encoding != "utf-8-sig":
            with pytest.raises(DataError, match=r"source\.encoding"):
                read(raw)

    def test_separator_and_null_values(self, read: Any) -> None:
        table = read("a;b\nNA;2\nx;-\n", separator=";", null_values=["NA", "-"])
        assert rows(table) == [(None, "2"), ("x", None)]

    def test_a_missing_column_names_the_file(self, read: Any) -> None:
        with pytest.raises(DataError, match=r"a\.csv should have a column 'at'"):
            read("a,b\n1,2\n", columns=["at"])
