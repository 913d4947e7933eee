"""CSV as other programs write it reads back equal."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from towermill.errors import DataError
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.text.delimited import read_text

#: Text with all that CSV writers treat in some way of their own; no field is blank.
FIELDS = st.text(st.sampled_from(list("ab01.é|; \t,\"'\n-")), min_size=1, max_size=8).filter(
    lambda text: text.strip() != ""
)
ROWS = st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=12)
NAMES = ["user_id", "item_id", "name"]
NEVER = settings(max_examples=150, deadline=None)


def read(text: str, **options: Any) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        file, scratch = Path(folder) / "a.csv", Path(folder) / "scratch"
        file.write_bytes(text.encode())
        scratch.mkdir()
        return read_text([file], ReadingOptions(**options), NAMES, scratch).frame.collect().rows()


def outcome(text: str, **options: Any) -> list[tuple[Any, ...]] | str:
    """Return the rows, or why they are refused."""
    try:
        return read(text, **options)
    except DataError as error:
        return str(error)


def equal_or_refused(text: str, rows: list[tuple[str, ...]], **options: Any) -> bool:
    """Return whether the rows read back equal; that the file has two readings is an error."""
    found = outcome(text, **options)
    if isinstance(found, str):
        assert "join lines" in found
        return False
    assert found == rows
    return True


class TestPolars:
    @given(ROWS, st.sampled_from(["necessary", "always", "non_numeric"]), st.sampled_from(",;\t|"))
    @NEVER
    def test_reads_back(self, rows: list[Any], style: Any, separator: str) -> None:
        frame = pl.DataFrame(rows, schema=NAMES, orient="row")
        text = frame.write_csv(quote_style=style, separator=separator)
        equal_or_refused(text, rows, separator=separator)


class TestPandas:
    @given(
        ROWS,
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        st.sampled_from(["\n", "\r\n"]),
    )
    @NEVER
    def test_reads_back(self, rows: list[Any], quoting: Any, end: str) -> None:
        frame = pd.DataFrame(rows, columns=NAMES)
        text = frame.to_csv(index=False, quoting=quoting, lineterminator=end)
        equal_or_refused(text, rows)


class TestSingleLines:
    @given(
        st.lists(
            st.tuples(*[FIELDS.filter(lambda text: "\n" not in text)] * 3), min_size=1, max_size=12
        ),
        st.booleans(),
    )
    @NEVER
    def test_fields_of_one_line_are_never_refused(self, rows: list[Any], quoted: bool) -> None:
        frame = pl.DataFrame(rows, schema=NAMES, orient="row")
        text = frame.write_csv(quote_style="always" if quoted else "necessary")
        assert equal_or_refused(text, rows)

    @given(
        st.lists(
            st.tuples(*[FIELDS.filter(lambda text: not set(text) & set("\n\t"))] * 3),
            min_size=1,
            max_size=12,
        )
    )
    @NEVER
    def test_plain_quotes(self, rows: list[Any]) -> None:
        text = "".join("\t".join(row) + "\n" for row in [tuple(NAMES), *rows])
        assert read(text, separator="\t", quote_char=None) == rows
        # With quoting on, the same file reads back equal or is refused, never otherwise.
        found = outcome(text, separator="\t")
        if isinstance(found, str):
            assert "quote_char: null" in found
        else:
            bare = [[field.strip('"') for field in row] for row in rows]
            assert [[(field or "").strip('"') for field in row] for row in found] == bare
