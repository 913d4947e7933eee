"""The synthetic world: reproducible, as described, and with tastes that can be found."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.sources.aliccp import DEFAULT_ITEM_FEATURES, DEFAULT_USER_FEATURES
from towermill.workflows.sources.generated import interactions as synthetic
from towermill.workflows.sources.generated.interactions import Synthetic
from towermill.workflows.sources.generated.world import draw

SMALL: dict[str, Any] = {"users": 200, "items": 100, "interactions": 20_000, "cold_items": 0.1}


def generate(folder: Path, **options: Any) -> tuple[Synthetic, pl.DataFrame]:
    folder.mkdir(exist_ok=True)
    source = Synthetic(**{**SMALL, **options})
    return source, source.read(folder).interactions.collect()


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class TestReproducible:
    @pytest.mark.parametrize("layout", ["retail", "aliccp"])
    def test_same_seed_same_bytes(self, tmp_path: Path, layout: str) -> None:
        np.random.seed(1)
        generate(tmp_path / "a", layout=layout)
        np.random.seed(2)
        generate(tmp_path / "b", layout=layout)
        generate(tmp_path / "c", layout=layout, seed=1)
        assert digests(tmp_path / "a") == digests(tmp_path / "b")
        assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())

    def test_files_hold_a_chunk_at_most(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, whole = generate(tmp_path / "a", interactions=5000)
        monkeypatch.setattr(synthetic, "_BATCH", 50)
        monkeypatch.setattr(synthetic, "CHUNK", 1000)
        _, cut = generate(tmp_path / "b", interactions=5000)
        sizes = [pl.read_parquet(f).height for f in (tmp_path / "b" / "interactions").iterdir()]
        assert whole.height == cut.height == sum(sizes) == 5000
        assert max(sizes) <= 1000


class TestRetail:
    def test_tables(self, tmp_path: Path) -> None:
        source = Synthetic(**SMALL)
        tables = source.read(tmp_path)
        assert source.files() == []
        stats = InteractionChecks.check(tables)
        assert (stats.rows, stats.user_rows, stats.item_rows) == (20_000, 200, 100)
        assert stats.users_without_row == stats.items_without_row == 0
        assert tables.items is not None
        assert tables.users is not None
        for entity, frame in (("item", tables.items), ("user", tables.users)):
            assert frame.collect_schema().names() == [f"{entity}_id", *tables.features[entity]]
        items = tables.items.collect()
        assert items.schema["tags"] == pl.List(pl.String)
        assert (items["price"] > 0).all()
        # A brand belongs to one category.
        assert items.group_by("brand").agg(pl.col("category").n_unique())["category"].max() == 1

    def test_timestamps_rise_through_90_days(self, tmp_path: Path) -> None:
        _, rows = generate(tmp_path)
        time = rows["timestamp"]
        assert time.dtype == pl.Datetime("us")
        assert time.is_sorted()
        assert time[0] >= datetime(2024, 1, 1)
        assert datetime(2024, 3, 30) < time[-1] < datetime(2024, 3, 31)

    def test_cold_items_come_up_late(self, tmp_path: Path) -> None:
        source, rows = generate(tmp_path)
        cold = np.flatnonzero(source.world().release > 0) + 1
        place = np.flatnonzero(np.isin(rows["item_id"], cold)) / rows.height
        assert len(cold) == 10
        assert len(place) > 0
        assert place.min() >= 0.8 - 1 / 64

    def test_zipf(self, tmp_path: Path) -> None:
        shares = []
        for zipf in (0.0, 1.2):
            _, rows = generate(tmp_path / str(zipf), zipf=zipf, drift=0, cold_items=0)
            counts = rows["item_id"].value_counts()["count"].sort(descending=True)
            shares.append(counts[:10].sum() / rows.height)
        assert shares[0] < 0.3 < 0.5 < shares[1]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthetic, Any, Any, Any]:
    """A world, how often each item was chosen early, and the users and items of later choices."""
    source, rows = generate(tmp_path_factory.mktemp("world"), users=500, items=300)
    cut = int(0.9 * rows.height)
    popular = np.bincount(rows["item_id"][:cut] - 1, minlength=source.items)
    users, items = (rows[name][cut:].to_numpy() - 1 for name in ("user_id", "item_id"))
    return source, popular, users, items


class TestOracle:
    @staticmethod
    def recall(scores: np.ndarray, items: np.ndarray) -> float:
        top = np.argpartition(-scores, 10, axis=1)[:, :10]
        return float((top == items[:, None]).any(axis=1).mean())

    def test_planted_tastes_beat_popularity(self, late: tuple[Synthetic, Any, Any, Any]) -> None:
        source, popular, users, items = late
        world, everything = source.world(), np.arange(source.items)
        popularity = self.recall(np.tile(popular, (len(users), 1)), items)
        affinity = self.recall(world.affinity(users, everything, 0.95), items)
        utility = self.recall(world.utility(users, everything, 0.95), items)
        assert affinity > 1.1 * popularity
        assert utility > 1.5 * popularity

    def test_tastes_drift(self) -> None:
        world = Synthetic(**SMALL, drift=1.0).world()
        users = np.arange(200)
        assert np.allclose(world.tastes(users, 0.0), world.user_factors, atol=1e-6)
        assert np.allclose(world.tastes(users, 1.0), world.user_later, atol=1e-6)
        assert np.allclose(np.linalg.norm(world.tastes(users, 0.3), axis=1), 1, atol=1e-5)

    def test_without_noise_the_best_of_the_offered_is_chosen(self, tmp_path: Path) -> None:
        ranks = []
        for noise in (0.0, 5.0):
            source, rows = generate(tmp_path / str(noise), noise=noise, drift=0, cold_items=0)
            users, items = (rows[name].to_numpy() - 1 for name in ("user_id", "item_id"))
            scores = source.world().affinity(users, np.arange(source.items))
            chosen = scores[np.arange(len(items)), items]
            ranks.append((scores > chosen[:, None]).mean())
        assert ranks[0] < 0.06 < ranks[1]


class TestAliCCP:
    def test_columns_and_features(self, tmp_path: Path) -> None:
        source = Synthetic(**SMALL, layout="aliccp")
        tables = source.read(tmp_path)
        assert tables.interactions.collect_schema().names() == [
            *("user_id", "item_id", "timestamp", "click", "conversion", "position", "split"),
        ]
        assert tuple(tables.features["item"]) == DEFAULT_ITEM_FEATURES
        assert tuple(tables.features["user"]) == DEFAULT_USER_FEATURES
        InteractionChecks.check(tables)
        rows = tables.interactions.collect()
        assert rows["split"].value_counts(sort=True).rows()[0] == ("train", 16_000)
        assert rows["split"].unique(maintain_order=True).to_list() == [
            "train",
            "validation",
            "test",
        ]

    def test_clicks_follow_affinity(self, tmp_path: Path) -> None:
        source, rows = generate(tmp_path, layout="aliccp", drift=0)
        scores = source.world().affinity(np.arange(200), np.arange(100))
        score = scores[rows["user_id"].to_numpy() - 1, rows["item_id"].to_numpy() - 1]
        click = rows["click"].to_numpy() == 1
        assert 0.1 < click.mean() < 0.5
        assert score[click].mean() > score[~click].mean() + 1
        assert (rows["click"] >= rows["conversion"]).all()


class TestDraw:
    @pytest.mark.parametrize("size", [3, 40_000])
    def test_in_proportion(self, size: int) -> None:
        rng = np.random.default_rng(0)
        weights = np.array([0.0, 1.0, 3.0, 0.0, 4.0])
        found = np.concatenate([draw(weights, size, rng) for _ in range(40_000 // size)])
        share = np.bincount(found, minlength=5) / len(found)
        assert np.allclose(share, weights / 8, atol=0.02)
        assert share[0] == share[3] == 0
