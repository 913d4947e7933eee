"""JSON lines: types over all rows, and lines that are refused by their number."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from towermill.errors import DataError
from towermill.workflows.sources.reading.files import find_files, scan
from towermill.workflows.sources.table import Table

ROWS = [
    {"user": "a", "item": 1, "at": "2024-05-31 10:00:00", "stars": "4.5", "meta": {"x": 1}},
    {"user": "b", "item": 2, "at": "2024-05-31 11:00:00", "stars": "3", "tags": ["x", "y"]},
    {"user": "c", "item": 3, "at": "2024-05-31 12:00:00", "stars": "", "tags": []},
]
SPEC = {"user_id": "user", "item_id": "item", "timestamp": "at", "rating": "stars"}


def text(rows: list[Any] = ROWS) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path: Path, spec: dict[str, Any] = SPEC, **keys: Any) -> pl.DataFrame:
    source = Table.model_validate({"interactions": {"path": str(path), **spec}, **keys})
    (path.parent / "scratch").mkdir(exist_ok=True)
    return source.read(path.parent / "scratch").interactions.collect()


class TestRows:
    def test_types_follow_use(self, tmp_path: Path) -> None:
        (tmp_path / "log.jsonl").write_text(text() + "\n")
        found = read(tmp_path / "log.jsonl", {**SPEC, "features": {"tags": "list"}})
        assert found["user_id"].to_list() == ["a", "b", "c"]
        assert found["item_id"].dtype == pl.Int64
        assert found["rating"].to_list() == [4.5, 3.0, None]
        assert found["timestamp"].dt.hour().to_list() == [10, 11, 12]
        assert found["tags"].to_list() == [None, ["x", "y"], []]

    @pytest.mark.parametrize(
        ("ending", "pack"),
        [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
    )
    def test_compressed(self, tmp_path: Path, ending: str, pack: Callable[..., bytes]) -> None:
        path = tmp_path / f"log.ndjson{ending}"
        path.write_bytes(pack(text().encode()))
        assert read(path).height == 3

    def test_other_encodings_and_marks(self, tmp_path: Path) -> None:
        rows = [{"user": "é", "item": 1}, {"user": "b", "item": 2}]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        for encoding in ("utf-8-sig", "latin-1", "utf-16"):
            path = tmp_path / f"{encoding}.json"
            path.write_bytes(lines.encode(encoding))
            spec = {"user_id": "user", "item_id": "item"}
            assert read(path, spec, encoding=encoding)["user_id"].to_list() == ["é", "b"]

    def test_files_may_lack_keys_and_differ_in_types(self, tmp_path: Path) -> None:
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "a.jsonl").write_text('{"user": "a", "item": 1, "stars": 4}\n')
        (tmp_path / "log" / "b.jsonl").write_text('{"item": 2, "user": "b"}\n')
        (tmp_path / "log" / "c.jsonl").write_text("")
        spec = {"user_id": "user", "item_id": "item", "rating": "stars"}
        assert read(tmp_path / "log", spec)["rating"].to_list() == [4.0, None]

    def test_an_integer_late_text(self, tmp_path: Path) -> None:
        rows = [*({"user": n, "item": n} for n in range(3000)), {"user": "x", "item": 1}]
        (tmp_path / "log.txt").write_text(text(rows))
        spec = {"user_id": "user", "item_id": "item"}
        found = read(tmp_path / "log.txt", spec, format="jsonl")
        assert found["user_id"].to_list()[-2:] == ["2999", "x"]

    def test_scan_reads_all_columns(self, tmp_path: Path) -> None:
        (tmp_path / "v.jsonl").write_text(text([{"id": 1, "v": [0.5, 1]}]))
        found = scan(find_files(tmp_path / "v.jsonl", "x")).collect()
        assert found.to_dicts() == [{"id": 1, "v": [0.5, 1.0]}]


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "spec", "message"),
        [
            (text() + '{"user": 1,\n', SPEC, "log.jsonl, line 4: each line should be one JSON ob"),
            (text() + "5\n", SPEC, "line 4: .*a value of type int"),
            (text() + '{"user": NaN}\n', SPEC, "line 4: .*NaN is no JSON number"),
            (json.dumps(ROWS), SPEC, "line 1: .*jq -c"),
            ("\n", SPEC, "one JSON object a line, and there is none"),
            (text(), {**SPEC, "item_id": "meta"}, "'meta' should hold numbers, text"),
            (text(), {**SPEC, "user_id": "usr"}, "Did you mean 'user'"),
            (text([*ROWS, {**ROWS[0], "at": "noon"}]), SPEC, "log.jsonl, line 4: .*'at' should"),
        ],
    )
    def test_says_where(
        self, tmp_path: Path, content: str, spec: dict[str, Any], message: str
    ) -> None:
        (tmp_path / "log.jsonl").write_text(content)
        with pytest.raises(DataError, match=message):
            read(tmp_path / "log.jsonl", spec)

    def test_bad_lines_are_dropped_if_asked(self, tmp_path: Path) -> None:
        (tmp_path / "log.jsonl").write_text("[]\n" + text() + "{\n")
        assert read(tmp_path / "log.jsonl", on_bad_row="drop").height == 3


class TestNoHeader:
    SPEC: ClassVar = {"user_id": "user", "item_id": "item"}

    def test_names_are_given(self, tmp_path: Path) -> None:
        (tmp_path / "u.data").write_text("1\t5\t3\n2\t6\t4\n")
        keys = {"format": "tsv", "columns": ["user", "item", "stars"]}
        found = read(tmp_path / "u.data", {**self.SPEC, "rating": "stars"}, **keys)
        assert found.rows() == [(1, 5, 3.0), (2, 6, 4.0)]

    def test_empty_names_skip(self, tmp_path: Path) -> None:
        (tmp_path / "r.dat").write_text("1::5::3\n2::6::4\n")
        keys = {"format": "csv", "separator": ":", "columns": ["user", "", "item", "", "stars"]}
        found = read(tmp_path / "r.dat", {**self.SPEC, "rating": "stars"}, **keys)
        assert found.rows() == [(1, 5, 3.0), (2, 6, 4.0)]

    def test_compressed_by_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b'"1"\t5\n\n2\t6\n'))
        keys = {"format": "tsv", "columns": ["user", "item"]}
        assert read(tmp_path / "c.txt.gz", self.SPEC, **keys).rows() == [(1, 5), (2, 6)]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("1,5\n2,6,4\n", "line 1: each line should have 3 fields, as `columns` names. Found 2"),
            ("1,5,3\n2,6\n", "line 2: each line should have 3 fields, as `columns` names. Found 2"),
            ("1,5,3\n2,6,x\n", "line 2: .*'stars' should hold numbers"),
        ],
    )
    def test_wrong_counts_are_refused(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "log.csv").write_text(content)
        spec = {**self.SPEC, "rating": "stars"}
        with pytest.raises(DataError, match=message):
            read(tmp_path / "log.csv", spec, columns=["user", "item", "stars"])

    def test_not_of_files_with_names(self, tmp_path: Path) -> None:
        (tmp_path / "log.jsonl").write_text(text())
        with pytest.raises(DataError, match="is read as jsonl, which has names of its own"):
            read(tmp_path / "log.jsonl", SPEC, columns=["user", "item"])

    def test_once_each(self) -> None:
        with pytest.raises(ValueError, match=r"name each column once\. Received twice: 'a'"):
            Table.model_validate({"interactions": {"path": "x"}, "columns": ["a", "a"]})


class TestWhatCannotBeParsed:
    SPEC: ClassVar[dict[str, Any]] = {"user_id": "user", "item_id": "item"}
    LINES = '{"user": 1, "item": 1}\n{"user": 2, "item": 2}\n'

    @pytest.mark.parametrize("line", ["5", "null", '"x"'])
    def test_a_line_that_is_no_object(self, tmp_path: Path, line: str) -> None:
        file = tmp_path / "log.jsonl"
        file.write_text(self.LINES + line + "\n")
        with pytest.raises(DataError, match=r"log\.jsonl"):
            read(file, self.SPEC)
        assert read(file, self.SPEC, on_bad_row="drop").height == 2

    @pytest.mark.parametrize("policy", ["error", "drop"])
    @pytest.mark.parametrize("item", ["true", "[3]"])
    def test_a_key_of_two_types(self, tmp_path: Path, item: str, policy: str) -> None:
        file = tmp_path / "log.jsonl"
        file.write_text(self.LINES + f'{{"user": 3, "item": {item}}}\n')
        with pytest.raises(DataError, match=r"log\.jsonl|item"):
            read(file, self.SPEC, on_bad_row=policy)
