"""Bundles that were broken on purpose: each gate refuses its own, and names the fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bundles import reindex, reseal, rewrite, tables_of

from towermill.errors import BundleError
from towermill.pipelines import Bundle
from towermill.pipelines.bundle.manifest import USERS, parse_manifest
from towermill.pipelines.bundle.tables import BY_ID
from towermill.pipelines.export import export
from towermill.pipelines.export.tables import write_arrow
from towermill.pipelines.gates.embeddings import collapse
from towermill.pipelines.gates.gates import check_bundle, examine
from towermill.pipelines.gates.live_model import check_against_live
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search.store import write_index


@pytest.fixture
def bundle(trained: Any, tmp_path: Path) -> Path:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="module")
def ranker(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an `ncf` on the same data."""
    model = {"kind": "ncf", "embedding_dim": 4, "mlp": [8]}
    made = trained.changed(tmp_path_factory.mktemp("ranker"), model=model)
    found: Path = made.bundle
    return found


def vectors_of(bundle: Path) -> np.ndarray[Any, Any]:
    return np.array(np.load(bundle / "index" / "vectors.npy"))


def swap(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Exchange what the first two rows have in some columns."""
    order = [1, 0, *range(2, table.height)]
    return table.with_columns(table[column].gather(order) for column in columns)


def swapped_users_in_parquet(bundle: Path) -> None:
    path = bundle / "user_features.parquet"
    swap(pl.read_parquet(path), "raw_user_id").write_parquet(path)
    reseal(bundle)


def swapped_items(bundle: Path) -> None:
    items = tables_of(bundle)["items"]
    rewrite(bundle, items=swap(items, *(c for c in items.columns if c != "item_id")))


def swapped_rows(bundle: Path) -> None:
    users = tables_of(bundle)["users"]
    rewrite(bundle, users=swap(users, *users.columns))


def swapped_names(bundle: Path) -> None:
    rewrite(bundle, items=swap(tables_of(bundle)["items"], "raw_item_id"))


def two_equal_ids(bundle: Path) -> None:
    users = tables_of(bundle)["users"]
    first = users["raw_user_id"][0]
    rewrite(
        bundle,
        users=users.with_columns(
            raw_user_id=pl.when(pl.col("user_id") == 7).then(first).otherwise("raw_user_id")
        ),
    )


def not_a_number(bundle: Path) -> None:
    path = bundle / "index" / "vectors.npy"
    vectors = vectors_of(bundle)
    vectors[5, 1] = np.nan
    np.save(path, vectors)
    reseal(bundle)


def constant(bundle: Path) -> None:
    vectors = vectors_of(bundle)
    vectors[:] = vectors[0]
    reindex(bundle, vectors)


def on_a_line(bundle: Path) -> None:
    vectors = vectors_of(bundle)
    reindex(bundle, np.outer(np.arange(len(vectors)), vectors[0]).astype(np.float32))


def stale_index(bundle: Path) -> None:
    reindex(bundle, vectors_of(bundle)[::-1])


def index_of_others(bundle: Path) -> None:
    vectors = vectors_of(bundle)[:-1]
    told = write_index(vectors, bundle / "index", IndexConfig(), "inner_product", vectors[:1])
    reseal(bundle, index=told)


def stale_parquet(bundle: Path) -> None:
    path = bundle / "item_embeddings.parquet"
    table = pl.read_parquet(path)
    table.with_columns(pl.col("0") + 1).write_parquet(path)
    reseal(bundle)


def embeddings_of_other_ids(bundle: Path) -> None:
    path = bundle / "item_embeddings.parquet"
    swap(pl.read_parquet(path), "item_id").write_parquet(path)
    reseal(bundle)


def changed_vocabulary(bundle: Path) -> None:
    path = bundle / "workflow" / "categories" / "unique.brand.parquet"
    swap(pl.read_parquet(path), "brand").write_parquet(path)
    reseal(bundle)


def shorter_vocabulary(bundle: Path) -> None:
    path = bundle / "workflow" / "categories" / "unique.brand.parquet"
    pl.read_parquet(path).head(-1).write_parquet(path)
    reseal(bundle)


def changed_id_vocabulary(bundle: Path) -> None:
    path = bundle / "workflow" / "categories" / "unique.user_id.parquet"
    swap(pl.read_parquet(path), "user_id").write_parquet(path)
    reseal(bundle)


def other_onnx(bundle: Path, name: str = "query_tower") -> None:
    """With all of its largest table moved."""
    import onnx
    from onnx import numpy_helper

    path = bundle / "onnx" / f"{name}.onnx"
    model = onnx.load(str(path))
    weights = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    moved = numpy_helper.to_array(weights) + np.float32(0.5)
    weights.CopyFrom(numpy_helper.from_array(moved, weights.name))
    onnx.save(model, str(path))
    reseal(bundle)


def stale_raw_tower(bundle: Path) -> None:
    """Ages are standardised by another mean than the raw tower has."""
    features = parse_manifest(bundle).query_features
    age = features["age"]
    moved_raw = replace(age.raw, mean=age.raw.mean + 10)
    users = tables_of(bundle)["users"]
    moved = ((pl.col("raw_age") - moved_raw.mean) / age.raw.std).cast(pl.Float32).fill_null(0.0)
    rewrite(bundle, users=users.with_columns(age=moved))
    reseal(bundle, query_features={**features, "age": replace(age, raw=moved_raw)})


def rows_named_twice(bundle: Path) -> None:
    users = tables_of(bundle)["users"]
    twice = users["raw_user_id"].arg_sort().to_list()
    twice[3] = twice[4]
    with_order(bundle, users, twice)


def stale_order(bundle: Path) -> None:
    users = tables_of(bundle)["users"]
    with_order(bundle, users, users["raw_user_id"].arg_sort().to_list()[::-1])


def with_order(bundle: Path, users: pl.DataFrame, order: list[int]) -> None:
    column = pl.Series(BY_ID, order, pl.Int64)
    write_arrow(users.with_columns(column), bundle / USERS)
    reseal(bundle)


def low_recall(bundle: Path) -> None:
    told = parse_manifest(bundle).require_index()
    reseal(bundle, index=replace(told, recall=replace(told.recall, value=0.5, floor=0.95)))


def changed_file(bundle: Path) -> None:
    path = bundle / "text.txt"
    path.write_text("as it was")
    reseal(bundle)
    path.write_text("otherwise")


def cut_file(bundle: Path) -> None:
    path = bundle / "onnx" / "item_tower.onnx"
    path.write_bytes(path.read_bytes()[:-20])


BROKEN: dict[Callable[[Path], None], str] = {
    changed_file: r"damaged: text\.txt is not the file",
    cut_file: r"damaged: onnx/item_tower\.onnx is not the file",
    swapped_users_in_parquet: r"Row 0 of user_features\.parquet should be of the id",
    swapped_items: r"vocabulary of 'item_id' should have .* at row 0",
    swapped_rows: r"Encoded ids of the users should run from 3 .* row 0 has 4",
    swapped_names: r"vocabulary of 'item_id' should have .* at row 0",
    two_equal_ids: r"one row per id. 1 ids occur in more than one, such as",
    not_a_number: r"should be finite. 1 hold NaN or infinity, first that of",
    constant: r"collapsed: their effective rank .* is 0\.",
    on_a_line: r"collapsed: their effective rank .*`export\.gates\.min_rank`",
    stale_index: r"should give .* the vector that the index holds; they differ",
    index_of_others: r"index should hold 48 vectors of 8 numbers",
    stale_parquet: r"item_embeddings\.parquet should hold the vectors of the index",
    embeddings_of_other_ids: r"item ids in the order of the catalogue",
    changed_vocabulary: r"The raw brand .* should be encoded as",
    shorter_vocabulary: r"vocabulary of 'brand' should have \d+ values",
    changed_id_vocabulary: r"vocabulary of 'user_id' should have",
    other_onnx: r"The query tower as a SavedModel should give what it gives in ONNX",
    stale_raw_tower: r"The query tower of raw features as a SavedModel should give",
    rows_named_twice: r"order of the users' ids names rows twice",
    stale_order: r"The id .* of the users should be found at row",
    low_recall: r"should find 0\.95 of the best 100; it found 0\.5",
}


class TestRefused:
    @pytest.mark.parametrize("change", BROKEN, ids=lambda change: change.__name__)
    def test_by_the_gate(self, bundle: Path, change: Callable[[Path], None]) -> None:
        change(bundle)
        with pytest.raises(BundleError, match=BROKEN[change]):
            check_bundle(Bundle.open(bundle))

    def test_nothing_is_published(
        self, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stage that writes the tables of others than it trained on."""
        real = export.write_tables

        def swapped(users: Any, items: Any, seen: Any, out: Path) -> None:
            real(users, swap(items, "raw_item_id"), seen, out)

        monkeypatch.setattr(export, "write_tables", swapped)
        with pytest.raises(BundleError, match=r"Rows were swapped.* Nothing was published"):
            export.export_bundle(trained.stages, trained.recipe, tmp_path / "out")
        assert not (tmp_path / "out" / "manifest.json").exists()

    def test_other_items_than_the_model_recommends(self, trained: Any, bundle: Path) -> None:
        data, model = trained.live()
        held = check_against_live(Bundle.open(bundle), data, model, 1e-4)
        assert held["same_top_k"]["swapped_ties"] == 0
        stale_index(bundle)
        with pytest.raises(
            BundleError, match=r"should recommend the same items as the trained model\. To"
        ):
            check_against_live(Bundle.open(bundle), data, model, 1e-4)

    def test_another_ranker(self, ranker: Path, tmp_path: Path) -> None:
        shutil.copytree(ranker, tmp_path / "ranker")
        other_onnx(tmp_path / "ranker", "ranker")
        with pytest.raises(BundleError, match="The ranker as a SavedModel should give"):
            check_bundle(Bundle.open(tmp_path / "ranker"))


class TestPassed:
    def test_as_published(self, trained: Any) -> None:
        measured = check_bundle(Bundle.open(trained.bundle))
        told = json.loads((trained.bundle / "manifest.json").read_text())["gates"]
        assert {**told, **measured} == told
        assert told["same_top_k"] == {"users": 299, "k": 10, "swapped_ties": 0}

    def test_of_a_ranker(self, ranker: Path) -> None:
        measured = check_bundle(Bundle.open(ranker))
        assert set(measured) == {
            *("files", "ids", "tables", "vocabularies", "encoding", "ranker_onnx"),
        }


class TestManifest:
    """It has a digest of itself, and only what is published has one."""

    @pytest.mark.parametrize(
        "change", [{"files": {}}, {"kind": "ranker"}, {"title": None}, {"id": "0"}, {"dim": 9}]
    )
    def test_a_changed_key(self, bundle: Path, change: dict[str, Any]) -> None:
        path = bundle / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(BundleError, match=r"damaged: manifest\.json is not the file"):
            Bundle.open(bundle)

    def test_a_file_that_is_not_of_it(self, bundle: Path) -> None:
        (bundle / "notes.txt").write_text("mine")
        with pytest.raises(BundleError, match=r"it also holds notes\.txt"):
            Bundle.open(bundle, verify=True)

    def test_there_is_none_while_the_gates_are_open(
        self, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Path] = []

        def look(bundle: Bundle) -> dict[str, Any]:
            seen.extend(bundle.path.glob("manifest*"))
            raise KeyboardInterrupt

        monkeypatch.setattr(export, "check_bundle", look)
        with pytest.raises(KeyboardInterrupt):
            export.export_bundle(trained.stages, trained.recipe, tmp_path / "out")
        assert not seen
        with pytest.raises(BundleError, match="No bundle at"):
            Bundle.open(tmp_path / "out")


class TestExamine:
    def test_goes_on_behind_a_gate_that_refuses(self, bundle: Path) -> None:
        (bundle / "workflow" / "categories" / "unique.brand.parquet").write_bytes(b"nothing")
        reseal(bundle)
        found = {gate["gate"]: gate for gate in examine(bundle)}
        refused = {name for name, gate in found.items() if not gate["passed"]}
        assert refused == {"vocabularies", "encoding"}
        assert "should be the Parquet file" in found["vocabularies"]["problem"]
        assert found["item_tower"]["measured"]["items"] == 48

    def test_command(self, trained: Any, bundle: Path, cli: Any) -> None:
        assert cli("verify", trained.bundle).code == 0
        cut_file(bundle)
        reseal(bundle)
        said = cli("verify", bundle)
        assert said.code == 1
        assert "NO" in said.out
        told = json.loads(cli("verify", bundle, "--json").out)
        assert [gate["gate"] for gate in told if not gate["passed"]] == ["item_tower", "onnx"]

    def test_damaged_files_are_not_looked_into(self, bundle: Path, cli: Any) -> None:
        """Arrow ends the process over a list that lies outside its file."""
        path = bundle / "tables" / "seen.arrow"
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = b"\x7f" * (len(content) - len(content) // 2)
        path.write_bytes(content)
        said = cli("verify", bundle)
        assert said.code == 1
        assert "tables/seen.arrow" in said.out.replace("\n", "")

    @pytest.mark.parametrize("name", ["item_embeddings.parquet", "manifest.json"])
    def test_longer_or_shorter_files_fail_too(self, name: str, bundle: Path, cli: Any) -> None:
        with (bundle / name).open("ab") as file:
            file.write(b"x")
        said = cli("verify", bundle)
        assert said.code == 1
        assert name in said.out.replace("\n", "")
        assert [gate["gate"] for gate in json.loads(cli("verify", bundle, "--json").out)] == [
            "files"
        ]

    def test_no_bundle(self, tmp_path: Path, cli: Any) -> None:
        said = cli("verify", tmp_path)
        assert said.code == 2
        assert "No bundle at" in said.err


class TestCollapse:
    @pytest.mark.parametrize("rank", [1, 3, 8])
    def test_effective_rank_of_equal_directions(self, rank: int) -> None:
        """As many directions of one size, and zeros."""
        vectors = np.zeros((64, 8), np.float32)
        rng = np.random.default_rng(0)
        orthogonal = np.linalg.qr(rng.normal(size=(64, 9)))[0]
        centred = orthogonal - orthogonal.mean(axis=0)
        vectors[:, :rank] = np.linalg.qr(centred)[0][:, :rank]
        share, found = collapse(vectors)
        assert share == 1.0
        assert found == pytest.approx(rank, abs=0.05)

    def test_all_alike(self) -> None:
        assert collapse(np.full((50, 4), 0.3, np.float32)) == (0.02, 0.0)

    def test_few_vectors(self) -> None:
        rows = np.eye(3, 4, dtype=np.float32)[np.arange(30) % 3]
        share, found = collapse(rows)
        assert share == pytest.approx(0.1)
        assert found == pytest.approx(2, abs=0.01)
