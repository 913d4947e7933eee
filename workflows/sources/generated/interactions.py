"""Interactions of a seeded world, of any size, for tests, trials and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from towermill.columns import ITEM_ID, SPLIT, TIMESTAMP, USER_ID
from towermill.features.config import Feature, Features
from towermill.workflows.sources.aliccp import default_features
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.generated.appearance import (
    aliccp_items,
    aliccp_users,
    retail_items,
    retail_users,
)
from towermill.workflows.sources.generated.world import Floats, Ints, World, build_world, draw
from towermill.workflows.tables import Tables

#: Rows of a Parquet file, at most.
CHUNK = 1 << 20
#: Rows generated at a time: what bounds memory.
_BATCH = 1 << 16
#: Popularity and tastes are constant within each of so many equal parts of the time.
_STEPS = 64
#: Items that a user of the retail layout chooses from at each event.
_OFFERED = 24
_START = 1_704_067_200  # 2024-01-01 00:00:00 UTC, in seconds
_SPAN = 90 * 86_400 * 1_000_000  # 90 days, in microseconds

_ITEM_FEATURES: Features = {
    "title": Feature(kind="title"),
    "category": Feature(),
    "brand": Feature(),
    "price": Feature(kind="number", log=True),
    "tags": Feature(kind="list"),
}
_USER_FEATURES: Features = {"age": Feature(kind="number"), "segment": Feature()}


class Synthetic(SourceConfig):
    """Generate a world in which users choose by planted tastes; one seed gives the same bytes.

    Ids run from 1. Timestamps rise through 90 days from 2024-01-01, dense to the same degree
    throughout. At each event of the ``retail`` layout a user is offered 24 items by popularity and
    chooses the one of the highest affinity plus noise; the table holds choices alone, and a user
    may choose an item again. In ``aliccp`` each row is an exposure of one item drawn by
    popularity, with ``click`` and, of the clicked, ``conversion``, likelier the higher the
    affinity; columns and features are named as by `AliCCP`, and ``split`` says ``train`` of the
    first 80% of rows, then ``validation`` and ``test`` of 10% each.

    Parameters
    ----------
    users, items, interactions, categories
        How many.
    dim
        Number of latent factors.
    zipf
        Exponent of the popularity's fall with rank; 0 makes all items equally popular.
    drift
        How far tastes and popularities move over the whole time: 0 not at all, 1 to another taste.
    cold_items
        Share of items that come up only in the last fifth of the time.
    noise
        Scale of the chance in each choice; 0 makes users choose by affinity alone.
    seed
        Of everything that is drawn.
    layout
        ``retail`` or ``aliccp``.
    """

    kind: str = "synthetic"
    users: int = Field(default=1000, ge=1, le=10**8)
    items: int = Field(default=500, ge=2, le=10**8)
    interactions: int = Field(default=50_000, ge=1, le=10**10)
    categories: int = Field(default=12, ge=1, le=10**6)
    dim: int = Field(default=8, ge=2, le=1024)
    zipf: float = Field(default=0.6, ge=0)
    drift: float = Field(default=0.2, ge=0, le=1)
    cold_items: float = Field(default=0.05, ge=0, lt=1)
    noise: float = Field(default=1.0, ge=0)
    seed: int = Field(default=0, ge=0)
    layout: Literal["retail", "aliccp"] = "retail"

    def files(self) -> list[Path]:
        """Return no files: all is generated."""
        return []

    def world(self) -> World:
        """Return users, items and true affinities: what an oracle would know."""
        return build_world(
            users=self.users,
            items=self.items,
            categories=self.categories,
            dim=self.dim,
            zipf=self.zipf,
            drift=self.drift,
            cold_items=self.cold_items,
            seed=self.seed,
        )

    def read(self, scratch: Path) -> Tables:
        """Generate the tables into `scratch` as Parquet, and return them lazily."""
        world = self.world()
        rng = np.random.default_rng([self.seed, 1])
        if self.layout == "retail":
            items, users = retail_items(world, rng), retail_users(world, rng)
            features = {"item": dict(_ITEM_FEATURES), "user": dict(_USER_FEATURES)}
        else:
            items, users = aliccp_items(world), aliccp_users(world, rng)
            features = {
                "item": default_features(items.columns),
                "user": default_features(users.columns),
            }
        folder = scratch / "interactions"
        folder.mkdir(parents=True)
        items.write_parquet(scratch / "items.parquet")
        users.write_parquet(scratch / "users.parquet")
        parts: list[pl.DataFrame] = []
        waiting = written = 0
        for batch in self._batches(world):
            parts.append(batch)
            waiting += batch.height
            if waiting + _BATCH > CHUNK:
                pl.concat(parts).write_parquet(folder / f"part-{written:05}.parquet")
                parts, waiting, written = [], 0, written + 1
        if parts:
            pl.concat(parts).write_parquet(folder / f"part-{written:05}.parquet")
        return Tables(
            interactions=pl.scan_parquet(sorted(folder.iterdir()), glob=False),
            items=pl.scan_parquet(scratch / "items.parquet", glob=False),
            users=pl.scan_parquet(scratch / "users.parquet", glob=False),
            features=features,
        )

    def _batches(self, world: World) -> Iterator[pl.DataFrame]:
        rng = np.random.default_rng([self.seed, 2])
        edges = np.linspace(0, self.interactions, _STEPS + 1).astype(np.int64)
        for step in range(_STEPS):
            time = (step + 0.5) / _STEPS
            popularity = world.popularity(time)
            for first in range(edges[step], edges[step + 1], _BATCH):
                last = min(first + _BATCH, int(edges[step + 1]))
                # A row's place among all rows gives its time, up to a jitter below one place.
                places = np.arange(first, last) + rng.random(last - first)
                when = (places / self.interactions * _SPAN).astype(np.int64) + _START * 1_000_000
                users = draw(world.activity, last - first, rng)
                if self.layout == "retail":
                    frame = self._choices(world, users, popularity, time, rng)
                else:
                    frame = self._exposures(world, users, popularity, time, first, rng)
                at = pl.Series(TIMESTAMP, when).cast(pl.Datetime("us"))
                yield frame.insert_column(2, at)

    def _choices(
        self,
        world: World,
        users: Ints,
        popularity: npt.NDArray[np.float64],
        time: float,
        rng: np.random.Generator,
    ) -> pl.DataFrame:
        offered = draw(popularity, (len(users), _OFFERED), rng)
        score = _rowwise(world, users, offered, time)
        score += self.noise * rng.gumbel(size=score.shape).astype(np.float32)
        items = offered[np.arange(len(users)), score.argmax(axis=1)]
        return pl.DataFrame({USER_ID: users + 1, ITEM_ID: items + 1})

    def _exposures(
        self,
        world: World,
        users: Ints,
        popularity: npt.NDArray[np.float64],
        time: float,
        first: int,
        rng: np.random.Generator,
    ) -> pl.DataFrame:
        items = draw(popularity, len(users), rng)
        score = _rowwise(world, users, items[:, None], time)[:, 0]
        # A logistic choice: about a fifth of exposures are clicked, and fewer of these convert.
        click = score + self.noise * rng.logistic(size=len(score)) > 3.0
        bought = click & (score + self.noise * rng.logistic(size=len(score)) > 4.5)
        row = np.arange(first, first + len(users)) / self.interactions
        split = np.where(row < 0.8, "train", np.where(row < 0.9, "validation", "test"))
        return pl.DataFrame(
            {
                USER_ID: users + 1,
                ITEM_ID: items + 1,
                "click": click.astype(np.int8),
                "conversion": bought.astype(np.int8),
                "position": rng.integers(1, 4, size=len(users)),
                SPLIT: split,
            }
        )


def _rowwise(world: World, users: Ints, items: Ints, time: float) -> Floats:
    """Return affinities (rows, n) of each row's user to that row's n items."""
    known, place = np.unique(users, return_inverse=True)
    tastes = world.tastes(known, time)[place]
    return np.asarray(world.scale * np.einsum("rd,rnd->rn", tastes, world.item_factors[items]))
