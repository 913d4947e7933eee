"""Drafted recipes: formats, refusals, questions, and runs as far as `process`."""

from __future__ import annotations

import bz2
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from layouts import Layout, jsonl, rows, table
from ratings import LAYOUTS as RATINGS
from shops import LAYOUTS as SHOPS

from towermill.errors import DataError
from towermill.pipelines import Selection, load_recipe, run
from towermill.pipelines.recipe.drafting.draft import draft_recipe
from towermill.workflows.sources.guessing.dialect import dialect_of
from towermill.workflows.sources.guessing.sample import open_sample
from towermill.workflows.sources.movielens import MovieLens
from towermill.workflows.sources.reading.options import ReadingOptions

LAYOUTS = {layout.name: layout for layout in [*RATINGS, *SHOPS]}
HEADER = ["user", "item", "at"]
LOG = [(f"u{r.user}", f"i{r.item}", r.at) for r in rows()[:300]]


def log_of(path: Path, content: str | bytes, *more: str) -> dict[str, Any]:
    """Draft a recipe from a log, and return its section `source`."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = draft_recipe([str(path), *more]).text
    source: dict[str, Any] = yaml.safe_load(text)["source"]
    return source


class TestFormats:
    @pytest.mark.parametrize("sign", [",", ";", "\t", "|", " "])
    def test_separators(self, tmp_path: Path, sign: str) -> None:
        log = [(r.user, r.item, r.at) for r in rows()[:300]] if sign == " " else LOG
        source = log_of(tmp_path / "log.csv", table(HEADER, log, sign))
        wanted = {} if sign == "," else {"separator": sign}
        assert source["interactions"].get("reading", {}) == wanted

    @pytest.mark.parametrize(
        ("encoding", "reading"),
        [
            ("utf-8", {}),
            ("utf-8-sig", {}),
            ("utf-16", {"encoding": "utf-16"}),
            ("cp1252", {"encoding": "cp1252"}),
        ],
    )
    def test_encodings(self, tmp_path: Path, encoding: str, reading: dict[str, Any]) -> None:
        log = [(f"u{r.user}", f"“é” {r.item}", r.at) for r in rows()[:300]]
        source = log_of(tmp_path / "log.csv", table(HEADER, log).encode(encoding))
        assert source["interactions"].get("reading", {}) == reading

    @pytest.mark.parametrize(
        ("text", "quote"),
        [
            ('a,b\n"x, y",1\n"z ""q""",2\n', '"'),
            ("a,b\n'x, y',1\n'z',2\n", "'"),
            ('a,b\n5" nail,1\n3" nail,2\n', None),
            ("a,b\nDon't,1\nCan't,2\n", None),
        ],
    )
    def test_quotes(self, text: str, quote: str | None) -> None:
        found = dialect_of(text, Path("log.csv"))
        assert (found.separator, found.quote) == (",", quote)

    def test_fields_may_hold_line_ends(self, tmp_path: Path) -> None:
        items = [(f"i{n}", f'"Name {n}"', f'"One, two\n\nthree\n{n}"') for n in range(1, 91)]
        (tmp_path / "items.csv").write_text(table(["item", "name", "description"], items))
        more = str(tmp_path / "items.csv")
        source = log_of(tmp_path / "log.csv", table(HEADER, LOG), more)
        assert source["items"]["features"] == {"name": "title"}
        assert "reading" not in source["items"]

    def test_quotes_within_text_are_plain(self, tmp_path: Path) -> None:
        log = [(f"u{r.user}", f'{r.item}" nail', r.at) for r in rows()[:300]]
        source = log_of(tmp_path / "log.csv", table(HEADER, log))
        assert source["interactions"]["reading"] == {"quote_char": None}

    @pytest.mark.parametrize(
        ("form", "found"),
        [
            ("%d.%m.%Y", "%d.%m.%Y"),
            ("%m/%d/%Y", "%m/%d/%Y"),
            ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
            ("%Y%m%d", "%Y%m%d"),
            ("%a %b %d %H:%M:%S +0000 %Y", "%a %b %d %H:%M:%S %z %Y"),
            ("%Y-%m-%d %H:%M:%S", None),
        ],
    )
    def test_dates(self, tmp_path: Path, form: str, found: str | None) -> None:
        log = [(f"u{r.user}", f"i{r.item}", r.when.strftime(form)) for r in rows()]
        source = log_of(tmp_path / "log.csv", table(["user", "item", "date"], log))
        assert source["interactions"]["timestamp"] == "date"
        assert source["interactions"].get("reading", {}).get("date_format") == found

    def test_marks_of_missing_values(self, tmp_path: Path) -> None:
        log = [(*line, "NULL" if n % 3 else n % 5) for n, line in enumerate(LOG)]
        source = log_of(tmp_path / "log.tsv", table([*HEADER, "stars"], log, "\t"))
        assert source["interactions"]["reading"] == {"null_values": ["NULL"]}
        assert source["interactions"]["rating"] == "stars"

    def test_bad_lines_are_dropped(self, tmp_path: Path) -> None:
        source = log_of(tmp_path / "log.csv", table(HEADER, [*LOG, ("u1", "i1", 1, 2)]))
        assert source["interactions"]["reading"] == {"on_bad_row": "drop"}

    def test_other_endings(self, tmp_path: Path) -> None:
        objects = jsonl([{"user": u, "item": i} for u, i, _ in LOG])
        source = log_of(tmp_path / "log.log", objects)
        assert source["interactions"]["reading"] == {"format": "jsonl"}
        packed = bz2.compress(table(HEADER, LOG, "\t").encode())
        source = log_of(tmp_path / "log.txt.bz2", packed)
        assert source["interactions"]["reading"] == {"format": "tsv"}

    def test_a_late_byte_that_is_no_utf8(self, tmp_path: Path) -> None:
        log = [*LOG * 1000, ("u1", "café", 1)]
        path = tmp_path / "log.csv"
        path.write_bytes(table(HEADER, log).encode("latin-1"))
        sample = open_sample(path)
        assert sample.reading == {"encoding": "latin-1"}
        assert not sample.whole
        assert sample.rows == pytest.approx(len(log), rel=0.05)

    def test_options_are_those_of_tables(self, tmp_path: Path) -> None:
        for layout in LAYOUTS.values():
            folder = tmp_path / layout.name
            for path in layout.write(folder):
                if Path(path).is_file():
                    ReadingOptions.model_validate(open_sample(Path(path)).reading)


class TestSides:
    def test_keys_decide_where_names_do_not(self, tmp_path: Path) -> None:
        users = [(f"u{n}", 20 + n % 40, "MF"[n % 2]) for n in range(1, 61)]
        items = [(f"i{n}", f"Title {n}", n / 7) for n in range(1, 91)]
        (tmp_path / "b.csv").write_text(table(["x", "age", "gender"], users))
        (tmp_path / "c.csv").write_text(table(["y", "title", "price"], items))
        log = [(i, u, at) for u, i, at in LOG]
        more = [str(tmp_path / "b.csv"), str(tmp_path / "c.csv")]
        source = log_of(tmp_path / "a.csv", table(["p", "q", "time"], log), *more)
        assert source["interactions"]["user_id"] == "q"
        assert source["interactions"]["item_id"] == "p"
        assert source["users"]["user_id"] == "x"
        assert source["items"]["item_id"] == "y"

    def test_parts_are_one_table(self, tmp_path: Path) -> None:
        for n in range(3):
            part = table(HEADER, LOG[n * 100 : n * 100 + 100])
            (tmp_path / f"events-{n}.csv").write_text(part)
        (tmp_path / "items.csv").write_text(
            table(["item", "name"], [(f"i{n}", f"Name {n}") for n in range(1, 91)])
        )
        source = yaml.safe_load(draft_recipe([str(tmp_path)]).text)["source"]
        assert source["interactions"]["path"] == f"{tmp_path}/events-*.csv"
        assert source["items"]["features"] == {"name": "title"}


class TestQuestions:
    LOG = table(["user", "artist_id", "track_id"], [(u, f"a{i}", i) for u, i, _ in LOG])

    def test_only_where_two_are_as_likely(self, tmp_path: Path) -> None:
        asked: list[Sequence[str]] = []

        def ask(question: str, answers: Sequence[str]) -> str:
            assert question == "Which column is the item?"
            asked.append(answers)
            return answers[1]

        path = tmp_path / "log.csv"
        path.write_text(self.LOG)
        draft = draft_recipe([str(path)], ask)
        assert asked == [["artist_id", "track_id"]]
        assert yaml.safe_load(draft.text)["source"]["interactions"]["item_id"] == "track_id"
        path.write_text(table(HEADER, LOG))
        draft_recipe([str(path)], ask)
        assert len(asked) == 1

    def test_without_a_terminal_the_other_is_a_comment(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text(self.LOG)
        draft = draft_recipe([str(tmp_path / "log.csv")])
        assert "    # item_id: track_id" in draft.text
        assert "item: artist_id, or track_id?" in draft.checks


class TestRecognised:
    def test_parts_alone_are_split_by_time(self, tmp_path: Path) -> None:
        LAYOUTS["MIND"].write(tmp_path)
        path = str(tmp_path / "MINDsmall_train")
        draft = yaml.safe_load(draft_recipe([path]).text)
        assert draft["source"] == {"kind": "mind", "path": path}
        assert draft["split"] == {"kind": "time"}
        assert yaml.safe_load(draft_recipe([str(tmp_path)]).text)["split"] == {"kind": "given"}

    def test_a_source_without_a_recipe(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        LAYOUTS["MovieLens 1M"].write(tmp_path)
        monkeypatch.setattr(MovieLens, "starting_recipe", None)
        path = str(tmp_path / "ml-1m")
        text = draft_recipe([path]).text
        assert yaml.safe_load(text) == {"source": {"kind": "movielens", "path": path}}


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("log.csv", "", "is empty"),
            (
                "log.csv",
                table(["user", "stars"], [("u1", 1), ("u1", 2), ("u2", 5)]),
                "A log should",
            ),
            ("log.csv", "only words\nand more of them\n", "should be a table"),
            ("log.bin", b"\0\1\2" * 99, "NUL bytes"),
            ("log.json", '[{"user": 1}]', "one JSON object a line"),
            ("log.parquet", b"PAR1 no", "as parquet"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
        with pytest.raises(DataError, match=message):
            log_of(tmp_path / name, content)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="Nothing is at"):
            draft_recipe([str(tmp_path / "log.csv")])
        with pytest.raises(DataError, match="The folder is empty"):
            draft_recipe([str(tmp_path)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Yelp", "RetailRocket", "MovieLens 1M, ratings.dat alone"])
def test_runs_to_process(name: str, tmp_path: Path) -> None:
    layout: Layout = LAYOUTS[name]
    (tmp_path / "r.yaml").write_text(draft_recipe(layout.write(tmp_path / "data")).text)
    steps = run(load_recipe(str(tmp_path / "r.yaml")), tmp_path / "runs", Selection(last="process"))
    process = next(step for step in steps if step.stage.name == "process")
    assert list((process.folder / "train").glob("*.parquet"))


class TestOddNames:
    def test_control_characters_and_line_breaks(self, tmp_path: Path) -> None:
        """In ids, which comments show, and in the names of columns, also those commented out."""
        head = ["user", "item", "at", "no\u2028te", "fe\x07el"]
        log = [(f"u\x07{u}", i, at, "a long text " * 20, n % 3) for n, (u, i, at) in enumerate(LOG)]
        file = tmp_path / "log.csv"
        file.write_bytes(table(head, log).encode())
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(draft_recipe([str(file)]).text)
        load_recipe(str(recipe))

    def test_a_blank_file_of_json_lines(self, tmp_path: Path) -> None:
        (tmp_path / "log.jsonl").write_text("\n\n")
        with pytest.raises(DataError):
            draft_recipe([str(tmp_path / "log.jsonl")])

    def test_files_named_as_movielens_in_another_encoding(self, tmp_path: Path) -> None:
        for name in ("ratings.csv", "movies.csv"):
            (tmp_path / name).write_bytes(table(HEADER, LOG).encode("utf-16"))
        assert MovieLens.recognise(str(tmp_path)) is None
