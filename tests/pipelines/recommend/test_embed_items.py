"""Vectors of items, known and new, from a bundle alone."""

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

from towermill.errors import BundleError, DataError
from towermill.features.base import taken_encoded
from towermill.pipelines.bundle.manifest import load_manifest, save_manifest
from towermill.pipelines.recommend.embed_items import embed_items

Embed = Callable[..., Any]


def raw_items(bundle: Path) -> pl.DataFrame:
    """Return the raw columns that training had, as a source would have them."""
    table = pl.read_parquet(bundle / "item_features.parquet")
    held = [n for n in table.columns if n.startswith("raw_")]
    return table.select(pl.col(n).alias(n.removeprefix("raw_")) for n in held)


def embeddings(table: pl.DataFrame) -> Any:
    return table.drop("item_id").to_numpy()


@pytest.fixture
def embed(tmp_path: Path) -> Embed:
    """Write items to a file, embed them, and return the table that was written."""

    def call(bundle: Path, items: pl.DataFrame, name: str = "items.parquet") -> pl.DataFrame:
        path, out = tmp_path / name, tmp_path / "made" / "out.parquet"
        items.write_parquet(path) if name.endswith("parquet") else items.write_csv(path)
        assert embed_items(bundle, path, out) == items.height
        assert [p.name for p in out.parent.iterdir()] == ["out.parquet"]
        return pl.read_parquet(out)

    return call


@pytest.fixture(scope="module")
def ageless(news: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the same news, trained without ages and on text alone."""
    model = {**news.recipe.model.model_dump(), "age": False, "features": []}
    made = news.changed(tmp_path_factory.mktemp("ageless"), model=model, train={"epochs": 1})
    found: Path = made.bundle
    return found


class TestNews:
    def test_known_ones_get_their_own_vectors(self, news: Any, embed: Embed) -> None:
        """But for the age, which is the least here and that at the end of the data there."""
        data, retriever = news.live()
        aged = retriever.age_vectors()
        expected = retriever.refresh()[3:] + aged[1]
        made = embed(news.bundle, raw_items(news.bundle))
        assert made["item_id"].to_list() == data.items["raw_item_id"].to_list()
        np.testing.assert_allclose(embeddings(made), expected, atol=1e-4)

    def test_form(self, news: Any, embed: Embed) -> None:
        made = embed(news.bundle, raw_items(news.bundle).head(3))
        assert made.columns == ["item_id", *map(str, range(8))]
        assert set(made.dtypes[1:]) == {pl.Float32}

    def test_without_ages_equal_the_bundles(self, ageless: Path, embed: Embed) -> None:
        made = embed(ageless, raw_items(ageless))
        kept = pl.read_parquet(ageless / "item_embeddings.parquet")
        np.testing.assert_allclose(embeddings(made), embeddings(kept), atol=1e-5)

    def test_new_ones_are_near_those_of_the_same_words(self, ageless: Path, embed: Embed) -> None:
        """Six tokens are kept: what comes after them does not count, nor does the id."""
        old = (
            raw_items(ageless)
            .head(40)
            .with_columns(pl.col("title").str.split(" ").list.head(6).list.join(" "))
        )
        new = old.select(pl.format("new-{}", "item_id").alias("item_id"), "title")
        own, other = embeddings(embed(ageless, old)), embeddings(embed(ageless, new))
        np.testing.assert_allclose(own, other, atol=1e-6)
        assert np.isfinite(other).all()

    def test_any_order_any_number(self, news: Any, embed: Embed) -> None:
        items = raw_items(news.bundle)
        whole = embeddings(embed(news.bundle, items))
        chosen = [7, 3, 150]
        np.testing.assert_allclose(
            embeddings(embed(news.bundle, items[chosen])), whole[chosen], atol=1e-5
        )

    def test_csv(self, news: Any, embed: Embed) -> None:
        items = raw_items(news.bundle).drop("topics")
        one, other = embed(news.bundle, items), embed(news.bundle, items, "items.csv")
        np.testing.assert_allclose(embeddings(one), embeddings(other), atol=1e-6)

    def test_only_what_the_model_takes(self, news: Any, embed: Embed) -> None:
        """Neither the sentiment nor an id that was a number in training."""
        items = raw_items(news.bundle)
        few = items.select(pl.format("x{}", "item_id").alias("item_id"), "title", "category")
        np.testing.assert_allclose(
            embeddings(embed(news.bundle, few)), embeddings(embed(news.bundle, items)), atol=1e-6
        )

    def test_no_text_and_a_new_category(self, news: Any, embed: Embed) -> None:
        items = pl.DataFrame(
            {
                "item_id": [1, 2, 3, 4],
                "title": [None, "", "¿ŧæøå?", "a" * 10_000],
                "category": ["never seen", None, None, "x"],
            },
            schema_overrides={"title": pl.String, "category": pl.String},
        )
        made = embeddings(embed(news.bundle, items))
        assert np.isfinite(made).all()
        np.testing.assert_allclose(
            made[1], embeddings(embed(news.bundle, items[[1]]))[0], atol=1e-6
        )


class TestRefused:
    @pytest.fixture
    def refused(self, news: Any, tmp_path: Path) -> Callable[[Any], str]:
        def call(items: pl.DataFrame) -> str:
            items.write_parquet(tmp_path / "items.parquet")
            with pytest.raises(DataError) as caught:
                embed_items(news.bundle, tmp_path / "items.parquet", tmp_path / "out.parquet")
            assert not list(tmp_path.glob("out*"))
            return str(caught.value)

        return call

    @pytest.mark.parametrize(
        ("ids", "name"),
        [([1, 1], "item_id"), ([1, None], "item_id"), ([1, 2], "id")],
    )
    def test_ids(self, refused: Any, ids: list[Any], name: str) -> None:
        items = pl.DataFrame({name: ids, "title": ["a", "b"], "category": ["c", "d"]})
        assert "a column `item_id`, one row an id and none without" in refused(items)

    def test_no_rows(self, refused: Any) -> None:
        types = {"item_id": pl.Int64, "title": pl.String, "category": pl.String}
        assert "it has no rows" in refused(pl.DataFrame(schema=types))

    def test_no_text_column(self, refused: Any) -> None:
        message = refused(pl.DataFrame({"item_id": [1], "titel": ["a"], "category": ["c"]}))
        assert "'title', which the items lack. Did you mean 'titel'?" in message

    def test_no_category_column(self, refused: Any) -> None:
        message = refused(pl.DataFrame({"item_id": [1], "title": ["a"], "kategory": ["c"]}))
        assert "the column 'category', which the model takes. Did you mean 'kategory'?" in message

    def test_lists_for_a_category(self, refused: Any) -> None:
        items = pl.DataFrame({"item_id": [1], "title": ["a"], "category": [["c"]]})
        assert "'category' should hold single values" in refused(items)

    @pytest.mark.parametrize(
        ("name", "content", "match"),
        [
            ("items.parquet", b"not parquet", "Cannot read"),
            ("items.json", b"{}", "should have one JSON object a line, and there is none"),
            ("items.csv", b"", "Cannot read"),
            (None, b"", "nothing is at"),
        ],
    )
    def test_files(
        self, news: Any, tmp_path: Path, name: str | None, content: bytes, match: str
    ) -> None:
        path = tmp_path / (name or "nowhere.parquet")
        if name:
            path.write_bytes(content)
        with pytest.raises(DataError, match=match):
            embed_items(news.bundle, path, tmp_path / "out.parquet")

    def test_out_is_a_folder(self, news: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="--out should name a file"):
            embed_items(news.bundle, tmp_path / "items.parquet", tmp_path)

    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="No bundle at"):
            embed_items(tmp_path, tmp_path / "items.parquet", tmp_path / "out.parquet")

    def test_command_line(self, cli: Any, news: Any, tmp_path: Path) -> None:
        raw_items(news.bundle).write_parquet(tmp_path / "items.parquet")
        said = cli("embed-items", news.bundle, tmp_path / "items.parquet", "--out", tmp_path / "o")
        assert said.code == 0
        assert said.out == f"200 items: {tmp_path / 'o'}\n"


class TestTwoTower:
    """Items of interactions: ids, categories, lists and numbers through the fitted workflow."""

    def test_known_ones(self, trained: Any, embed: Embed) -> None:
        made = embed(trained.bundle, raw_items(trained.bundle))
        kept = pl.read_parquet(trained.bundle / "item_embeddings.parquet")
        np.testing.assert_allclose(embeddings(made), embeddings(kept), atol=1e-5)

    def test_unknown_ids_are_out_of_vocabulary(self, trained: Any, embed: Embed) -> None:
        items = raw_items(trained.bundle).head(2)
        new = pl.concat([items, items]).with_columns(pl.Series("item_id", [901, 902, 903, 904]))
        made = embeddings(embed(trained.bundle, new))
        assert np.isfinite(made).all()
        np.testing.assert_allclose(made[:2], made[2:], atol=1e-6)
        assert not np.allclose(made[:2], embeddings(embed(trained.bundle, items)), atol=1e-4)

    def test_unlike_types(self, trained: Any, tmp_path: Path) -> None:
        items = raw_items(trained.bundle)
        for change in ({"item_id": pl.lit("x")}, {"price": pl.lit("dear")}):
            items.head(1).with_columns(**change).write_parquet(tmp_path / "items.parquet")
            with pytest.raises(DataError, match=f"{next(iter(change))}.*should"):
                embed_items(trained.bundle, tmp_path / "items.parquet", tmp_path / "out.parquet")

    def test_no_pickle_is_read(
        self, trained: Any, embed: Embed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nvtabular.Workflow.load", lambda *_: pytest.fail("unpickled"))
        made = embed(trained.bundle, raw_items(trained.bundle))
        kept = pl.read_parquet(trained.bundle / "item_embeddings.parquet")
        np.testing.assert_allclose(embeddings(made), embeddings(kept), atol=1e-5)

    def test_what_only_the_pickle_makes_needs_trust(
        self, trained: Any, embed: Embed, tmp_path: Path
    ) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        manifest = load_manifest(bundle)
        raw = taken_encoded("it is hashed")
        inputs = {n: replace(one, raw=raw) for n, one in manifest.item_features.items()}
        save_manifest(bundle, replace(manifest, item_features=inputs))
        items = raw_items(bundle)
        with pytest.raises(BundleError, match=r"it is hashed.*--trust"):
            embed(bundle, items)
        items.write_parquet(tmp_path / "items.parquet")
        embed_items(bundle, tmp_path / "items.parquet", tmp_path / "out.parquet", trust=True)
        made = embeddings(pl.read_parquet(tmp_path / "out.parquet"))
        kept = pl.read_parquet(bundle / "item_embeddings.parquet")
        np.testing.assert_allclose(made, embeddings(kept), atol=1e-5)

    @pytest.mark.parametrize("value", [1.9, 2.0**53 + 2, -0.5])
    def test_ids_that_training_could_not_have(
        self, trained: Any, tmp_path: Path, value: float
    ) -> None:
        items = raw_items(trained.bundle).head(1).with_columns(item_id=pl.lit(value))
        items.write_parquet(tmp_path / "items.parquet")
        out = tmp_path / "out.parquet"
        if value.is_integer():
            assert embed_items(trained.bundle, tmp_path / "items.parquet", out) == 1
        else:
            with pytest.raises(DataError, match="'item_id' should be of the type it had"):
                embed_items(trained.bundle, tmp_path / "items.parquet", out)

    @pytest.mark.slow
    def test_text_cut_into_lists_and_ages(self, shop: Any, cli: Any, embed: Embed) -> None:
        """As the recipe cuts it; ages count to the last moment of training. Names have capitals."""
        films = ["film,Genre,year,Tags,Out"] + [
            f"f{n},g{n % 3},{1990 + n},{n % 2}|{n % 3},2023-0{n % 9 + 1}-01" for n in range(11)
        ]
        shop.write("films.csv", "\n".join(films))
        features = shop.content["source"]["items"]["features"]
        del features["genre"]
        features |= {
            "Genre": "category",
            **{
                "Tags": "list",
                "Out": "age",
                "year": {"kind": "number", "boundaries": [1993, 1997]},
            },
        }
        made = cli("run", shop.recipe(), "--out", shop.folder / "runs", "--json")
        assert made.code == 0, made.err
        bundle = shop.folder / "runs" / "shop" / "latest" / "bundle"
        raw = pl.read_csv(shop.folder / "films.csv")  # with the recipe's own names
        kept = pl.read_parquet(bundle / "item_embeddings.parquet")
        ids = pl.read_parquet(bundle / "item_features.parquet")["raw_item_id"]
        expected = dict(zip(ids, embeddings(kept), strict=True))
        for name in ("items.csv", "items.parquet"):
            found = embed(bundle, raw, name)
            for item, vector in zip(found["item_id"], embeddings(found), strict=True):
                np.testing.assert_allclose(vector, expected[item], atol=1e-5)
        assert json.loads((bundle / "manifest.json").read_text())["item_columns"]["Tags"]
