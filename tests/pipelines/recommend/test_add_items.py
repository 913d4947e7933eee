"""New items join a bundle whose towers stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bundles import reseal

from towermill.errors import BundleError
from towermill.pipelines import Bundle
from towermill.pipelines.bundle.manifest import load_manifest
from towermill.pipelines.gates.gates import examine
from towermill.pipelines.recommend.add_items import add_items
from towermill.pipelines.recommend.embed_items import embed_items
from towermill.pipelines.recommend.for_all import recommend_all


def twins(bundle: Path, out: Path, count: int = 4) -> Path:
    """Write items with the raw columns of known ones and other ids."""
    table = pl.read_parquet(bundle / "item_features.parquet")
    held = [n for n in table.columns if n.startswith("raw_")]
    raw = table.select(pl.col(n).alias(n.removeprefix("raw_")) for n in held).head(count)
    ids = pl.int_range(10**6, 10**6 + count, eager=True).cast(raw["item_id"].dtype)
    raw.with_columns(item_id=ids).write_parquet(out)
    return out


class TestAdded:
    @pytest.mark.parametrize("world", ["trained", "news"])
    def test_passes_the_gates_with_the_vectors_of_embed_items(
        self, world: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        bundle: Path = request.getfixturevalue(world).bundle
        items = twins(bundle, tmp_path / "new.parquet")
        assert add_items(bundle, items, tmp_path / "larger") == 4
        assert {g["gate"]: g["problem"] for g in examine(tmp_path / "larger") if g["problem"]} == {}
        embed_items(bundle, items, tmp_path / "vectors.parquet")
        expected = pl.read_parquet(tmp_path / "vectors.parquet").drop("item_id").to_numpy()
        old, new = Bundle.open(bundle), Bundle.open(tmp_path / "larger")
        assert np.array_equal(new.index.vectors[:-4], old.index.vectors)
        assert np.allclose(new.index.vectors[-4:], expected, atol=1e-6)

    def test_looks_like_its_twin(self, trained: Any, tmp_path: Path) -> None:
        items = twins(trained.bundle, tmp_path / "new.parquet")
        add_items(trained.bundle, items, tmp_path / "larger")
        larger = Bundle.open(tmp_path / "larger")
        one, twin = larger.item(0), larger.item(larger.find_item(10**6) or 0)
        assert {**twin, "item_id": one["item_id"]} == one
        assert larger.items.data.column("train_count")[-1].as_py() == 0

    def test_everybody_is_recommended_from_more(
        self, cli: Callable[..., Any], trained: Any, tmp_path: Path
    ) -> None:
        items = twins(trained.bundle, tmp_path / "new.parquet")
        said = cli("add-items", trained.bundle, items, "--to", tmp_path / "larger")
        assert (said.code, said.out) == (0, f"4 new items: {tmp_path / 'larger'}\n")
        recommend_all(tmp_path / "larger", tmp_path / "all.parquet", 100)
        assert pl.read_parquet(tmp_path / "all.parquet")["item_id"].max() == 10**6 + 3


class TestRefused:
    def test_items_known_by_id_alone(self, trained: Any, tmp_path: Path) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(trained.bundle, bundle)
        features = load_manifest(bundle).item_features
        reseal(bundle, item_features={"item_id": features["item_id"]})
        with pytest.raises(BundleError, match="it knows items by id alone"):
            add_items(bundle, twins(bundle, tmp_path / "new.parquet"), tmp_path / "larger")

    def test_a_bundle_that_fails_a_gate(
        self, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(bundle: Bundle) -> Any:
            raise BundleError("It is wrong.")

        monkeypatch.setattr("towermill.pipelines.recommend.add_items.check_bundle", fail)
        items = twins(trained.bundle, tmp_path / "new.parquet")
        with pytest.raises(BundleError, match=r"It is wrong\. Nothing was written\."):
            add_items(trained.bundle, items, tmp_path / "larger")
        assert [path.name for path in tmp_path.iterdir()] == ["new.parquet"]
