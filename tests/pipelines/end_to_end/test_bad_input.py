"""Mistakes of every kind, through the command line: code 2, one message, nothing half-done."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.runtime.gpu import gpu_count


@pytest.fixture
def refused(cli: Any, tmp_path: Path) -> Callable[..., str]:
    """Run the arguments, expect a refusal, and return its message."""

    def command(*arguments: str | Path) -> str:
        said = cli(*arguments)
        assert said.code == 2, said
        assert said.out == ""
        assert "Traceback" not in said.err
        messages = said.err.split("towermill: ")[1:]
        assert len(messages) == 1, said.err
        # Nothing that a later run would believe.
        assert not list(tmp_path.glob("runs/*/latest"))
        for manifest in tmp_path.glob("runs/*/*/*/manifest.json"):
            assert manifest.parent.parent.name in ("prepare", "process")
        return str(messages[0])

    return command


def _rows(shop: Any, old: str, new: str) -> None:
    text = (shop.folder / "ratings.csv").read_text()
    assert old in text
    shop.write("ratings.csv", text.replace(old, new, 1))


def missing_file(shop: Any) -> None:
    (shop.folder / "ratings.csv").unlink()


def missing_column(shop: Any) -> None:
    shop.interactions["user_id"] = "readr"


def missing_role(shop: Any) -> None:
    del shop.interactions["item_id"]


def no_interactions(shop: Any) -> None:
    del shop.content["source"]["interactions"]


def text_rating(shop: Any) -> None:
    _rows(shop, ",1\n", ",good\n")


def late_text_rating(shop: Any) -> None:
    # Past the rows from which the types of columns are inferred.
    rows = "".join(f"r{n % 9},f{n % 7},{1_700_000_000 + n},3\n" for n in range(20_000))
    shop.write("ratings.csv", "reader,film,at,stars\n" + rows + "r1,f1,1700000000,good\n")


def uneven_rows(shop: Any) -> None:
    _rows(shop, ",1\n", ",1,7,8\n")


def empty_split(shop: Any) -> None:
    shop.content["split"] = {"validation": 0.0, "test": 0.001}


def cold_split(shop: Any) -> None:
    rows = "".join(f"r{n},f{n},{1_700_000_000 + n},3\n" for n in range(50))
    shop.write("ratings.csv", "reader,film,at,stars\n" + rows)
    del shop.content["source"]["items"]


def no_time(shop: Any) -> None:
    shop.interactions["timestamp"] = "film"


def strange_time(shop: Any) -> None:
    _rows(shop, ",1700000000,", ",-1700000000000,")


def missing_time(shop: Any) -> None:
    _rows(shop, ",1700000000,", ",,")


def split_needs_time(shop: Any) -> None:
    del shop.interactions["timestamp"]


def item_twice(shop: Any) -> None:
    shop.write("films.csv", (shop.folder / "films.csv").read_text() + "f3,g1,2000\n")


def null_id(shop: Any) -> None:
    _rows(shop, "r0,f0,", "r0,,")


def nan_id(shop: Any) -> None:
    table = pl.read_csv(shop.folder / "ratings.csv").with_row_index("n")
    ids = pl.when(pl.col("n") == 3).then(float("nan")).otherwise(pl.col("n") % 9.0)
    path = shop.folder / "ratings.parquet"
    table.with_columns(reader=ids).write_parquet(path)
    shop.interactions["path"] = str(path)


def empty_csv(shop: Any) -> None:
    shop.write("ratings.csv", "")


def header_only(shop: Any) -> None:
    shop.write("ratings.csv", "reader,film,at,stars\n")
    shop.interactions.update(timestamp=None, rating=None)


def garbage_parquet(shop: Any) -> None:
    shop.interactions["path"] = str(shop.write("ratings.parquet", b"PAR1 nonsense PAR1"))


def damaged_parquet(shop: Any) -> None:
    table = pl.read_csv(shop.folder / "ratings.csv")
    path = shop.folder / "ratings.parquet"
    table.write_parquet(path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)
    shop.interactions["path"] = str(path)


def wrong_separator(shop: Any) -> None:
    text = (shop.folder / "ratings.csv").read_text()
    shop.write("ratings.csv", text.replace(",", ";"))


def unknown_ending(shop: Any) -> None:
    shop.interactions["path"] = str(shop.write("ratings.xlsx", b"PK"))


def not_utf8(shop: Any) -> None:
    shop.write("films.csv", b"film,genre,year\nf0,caf\xe9\xff,1990\n")


def feature_of_no_column(shop: Any) -> None:
    shop.content["features"] = {"item": {"gerne": "category"}}


def source_feature_of_no_column(shop: Any) -> None:
    shop.content["source"]["items"]["features"] = {"gerne": "category"}


def number_of_text(shop: Any) -> None:
    shop.content["features"] = {"item": {"genre": "number"}}


def filters_leave_nothing(shop: Any) -> None:
    shop.content["filters"] = {"min_rating": 6}


CASES: list[tuple[Callable[[Any], None], str]] = [
    (missing_file, r"`source\.interactions\.path`: nothing is at .*ratings\.csv"),
    (missing_column, r"should have a column 'readr'\. Did you mean 'reader'\? Found: reader, film"),
    (missing_role, r"should have a column 'item_id'"),
    (no_interactions, r"`source\.interactions` is missing"),
    (text_rating, r"line 2: .*'stars' should hold numbers.*Received: 'good'"),
    (late_text_rating, r"line 20002: .*Received: 'good'"),
    (uneven_rows, r"line 2: each line should have 4 fields"),
    (empty_split, r"Raise the shares"),
    (cold_split, r"`split` \(kind time\) should leave rows in each split"),
    (no_time, r"'film' should hold times: integers \(seconds.*Received: 'f0'"),
    (strange_time, r"Timestamps should lie between 1970 and 2100"),
    (missing_time, r"should have timestamps throughout"),
    (split_needs_time, r"`split\.kind: time` needs a timestamp"),
    (item_twice, r"one row an id\. 1 ids have more, such as 'f3'"),
    (null_id, r"0 have no user_id and 1 no item_id.*on_null_id: drop"),
    (nan_id, r"1 have no user_id and 0 no item_id"),
    (empty_csv, r"ratings\.csv: it should begin with a header.*is empty"),
    (header_only, r"should hold rows"),
    (garbage_parquet, r"Cannot read .*ratings\.parquet as parquet"),
    (damaged_parquet, r"raw data should be readable throughout.*Fix the file"),
    (wrong_separator, r"should have a column 'reader'.*Found: reader;film;at;stars"),
    (unknown_ending, r"should name Parquet .*CSV .*, TSV .* or JSON lines"),
    (not_utf8, r"films\.csv should be utf-8 text.*Set `source\.encoding`"),
    (feature_of_no_column, r"names the column 'gerne', which the item table lacks\. Did you mean"),
    (source_feature_of_no_column, r"should have a column 'gerne'\. Did you mean 'genre'"),
    (number_of_text, r"'genre' should hold numbers.*Choose another kind"),
    (filters_leave_nothing, r"`filters` \(min_rating: 6\) should leave some .* left 0 of 120"),
]


class TestData:
    @pytest.mark.parametrize(("spoil", "match"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
    def test_refused(self, shop: Any, refused: Any, spoil: Any, match: str) -> None:
        spoil(shop)
        message = refused("run", shop.recipe(), "--out", shop.folder / "runs")
        assert re.search(match, message, re.DOTALL), message

    def test_what_was_refused_is_refused_again_and_runs_when_mended(
        self, shop: Any, refused: Any, cli: Any
    ) -> None:
        good = (shop.folder / "ratings.csv").read_text()
        _rows(shop, "r0,f0,", "r0,,")
        command = ["run", shop.recipe(), "--out", shop.folder / "runs", "--to", "prepare"]
        assert refused(*command) == refused(*command)
        shop.write("ratings.csv", good)
        said = cli(*command, "--json")
        assert said.code == 0
        assert '"prepare"' in said.out

    def test_schema_lacks_what_the_model_asks_for(self, shop: Any, refused: Any, cli: Any) -> None:
        out = shop.folder / "runs"
        assert cli("run", shop.recipe(), "--out", out, "--to", "process").code == 0
        (schema,) = out.glob("shop/process/*/schema.pbtxt")
        schema.write_text(schema.read_text().replace('tag: "item"', 'tag: "context"'))
        # As if it had been written so: a file of another size is made again.
        path = schema.with_name("manifest.json")
        manifest = json.loads(path.read_text())
        manifest["files"]["schema.pbtxt"] = schema.stat().st_size
        path.write_text(json.dumps(manifest))
        message = refused("run", shop.recipe(), "--out", out)
        assert "The model needs a column 'item_id' tagged ITEM" in message
        assert not list(out.glob("shop/train/*/manifest.json"))


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (["run", "nowhere.yaml"], "No recipe at nowhere.yaml"),
            (["run", "."], "No recipe '.'"),
            (["run", "demmo"], "Did you mean 'demo'?"),
            (["plan", "nowhere.yaml"], "No recipe at nowhere.yaml"),
            (["run", "demo", "--from", "trian"], "No stage 'trian'. The stages are prepare"),
            (["run", "demo", "--force", "trian"], "No stage 'trian'"),
            (["run", "demo", "--only", "train", "--to", "export"], "leave out --from and --to"),
            (["run", "demo", "--from", "export", "--to", "train"], "nothing to run"),
            (["run", "demo", "--set", "train.epochs"], "should read section.key=value"),
            (["run", "demo", "--device", "tpu"], "`runtime.device`"),
            (["run", "demo", "--cluster", "somewhere"], "`runtime.cluster`"),
            (["recommend", "nowhere", "--user", "1"], "No bundle at nowhere"),
        ],
    )
    def test_refused(self, refused: Any, arguments: list[str], match: str) -> None:
        assert match in refused(*arguments)

    def test_bad_yaml(self, refused: Any, tmp_path: Path) -> None:
        (tmp_path / "r.yaml").write_text("a: [\n")
        assert "is not valid YAML" in refused("run", tmp_path / "r.yaml")

    @pytest.mark.parametrize("k", ["0", "-3"])
    def test_k(self, refused: Any, tmp_path: Path, k: str) -> None:
        (tmp_path / "manifest.json").write_text('{"format": 1, "files": {}}')
        message = refused("recommend", tmp_path, "--user", "1", "-k", k)
        assert f"`k` should be a positive integer. Received: k={k}" in message

    @pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")
    def test_gpu_without_a_gpu(self, refused: Any, shop: Any) -> None:
        out = shop.folder / "runs"
        message = refused("run", shop.recipe(), "--out", out, "--device", "gpu")
        assert "needs a GPU, but no NVIDIA GPU" in message
        assert not out.exists()

    def test_cluster_that_is_not_there(
        self, refused: Any, shop: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from towermill.runtime import cluster

        connect = cluster._connect
        monkeypatch.setattr(cluster, "_connect", lambda address, _: connect(address, 0.5))
        address = "tcp://127.0.0.1:1"
        out = shop.folder / "runs"
        message = refused("run", shop.recipe(), "--out", out, "--cluster", address)
        assert f"No Dask scheduler answered at {address}" in message

    def test_out_is_a_file(self, refused: Any, shop: Any) -> None:
        message = refused("run", shop.recipe(), "--out", shop.write("file", ""))
        assert "Choose another with --out" in message

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_out_is_not_writable(self, refused: Any, shop: Any) -> None:
        out = shop.folder / "locked"
        out.mkdir(mode=0o500)
        assert "--out" in refused("run", shop.recipe(), "--out", out)
