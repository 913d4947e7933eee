"""Feature kinds of another package, from the recipe to the answers of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import RecipeError
from towermill.pipelines import Bundle, run, validate_recipe
from towermill.pipelines.stages.stages import STAGES

PRICE = {"kind": "shop_kinds:PriceClass", "options": {"base": 10}}


def recipe_of(folder: Path, price: dict[str, Any]) -> Any:
    return validate_recipe(
        {
            "name": "foreign",
            "source": {
                "kind": "table",
                "interactions": {"path": str(folder / "rows.parquet")},
                "users": {
                    "path": str(folder / "users.parquet"),
                    "features": {"surname": "shop_kinds:FirstLetter"},
                },
                "items": {"path": str(folder / "items.parquet"), "features": {"price": price}},
            },
            "split": {"kind": "random"},
            "model": {"tower": [4]},
            "train": {"epochs": 1, "batch_size": 64},
            "evaluate": {"k": [3]},
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(0)
    pl.DataFrame({"user_id": rng.integers(0, 30, 600), "item_id": rng.integers(0, 20, 600)}).unique(
        maintain_order=True
    ).write_parquet(folder / "rows.parquet")
    surnames = ["Åse", "Berg", None, "", "Aune", "Bakke"] * 5
    pl.DataFrame({"user_id": range(30), "surname": surnames}).write_parquet(
        folder / "users.parquet"
    )
    prices = [None, *(3.0 * 1.7**i for i in range(19))]
    pl.DataFrame({"item_id": range(20), "price": prices}).write_parquet(folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    run(recipe_of(folder, PRICE), folder / "runs")
    return Bundle.open(folder / "runs/foreign/latest/bundle", verify=True)


class TestBundle:
    def test_manifest_has_kind_and_options(self, bundle: Bundle) -> None:
        assert bundle.manifest.query_features["surname"].raw.kind == "shop_kinds:FirstLetter"
        raw = bundle.manifest.item_features["price"].raw
        assert (raw.kind, raw.options) == (PRICE["kind"], PRICE["options"])

    def test_gates_compared_the_encoders(self, bundle: Bundle) -> None:
        assert bundle.manifest.gates["query_tower_raw"]["users"] == 30
        assert bundle.manifest.gates["encoding"]["rows"] == 50

    def test_raw_queries_equal_known_users(self, bundle: Bundle) -> None:
        for row in range(30):
            user = bundle.user(row)
            known = bundle.recommend(user["user_id"], 5, filter_seen=False)
            raw = {"user_id": user["user_id"], "surname": user["surname"]}
            found = bundle.recommend(features=raw, k=5, filter_seen=False)
            assert found.items == known.items

    def test_only_the_first_letter_counts(self, bundle: Bundle) -> None:
        one, other, none = (
            bundle.recommend(features={"surname": surname}, k=5).items
            for surname in ("Bø", "Berntsen", None)
        )
        assert one == other != none

    def test_new_items(self, bundle: Bundle) -> None:
        found = bundle.embed_items([{"price": 100.0}, {"price": 120.0}, {"price": None}])
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.array_equal(found[0], found[2])


class TestRecipe:
    def test_its_code_is_part_of_the_keys(self, folder: Path) -> None:
        recipe = recipe_of(folder, PRICE)
        roots = {stage.name: stage.roots(recipe) for stage in STAGES}
        assert "shop_kinds" in roots["prepare"]
        assert "shop_kinds" in roots["export"]
        assert "towermill.features.age" in roots["process"]

    def test_its_options_are_checked(self, folder: Path, tmp_path: Path) -> None:
        recipe = recipe_of(folder, {"kind": PRICE["kind"], "options": {"bases": 10}})
        with pytest.raises(RecipeError, match=r"`features\.item\.price` should have the option"):
            run(recipe, tmp_path)
