"""Clicks on slates of generated news: the log of the simulator's default environment."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from towermill.columns import ITEM_ID, TIMESTAMP, USER_ID
from towermill.features.config import Feature
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.generated.slate_world import (
    SLATE,
    SlateWorld,
    build_slate_world,
    choose,
    describe,
)
from towermill.workflows.sources.generated.world import draw
from towermill.workflows.tables import Tables

_START, _SPAN = 1_704_067_200, 90 * 86_400  # 2024-01-01 and 90 days, in seconds
#: Users whose slates are drawn at a time.
_BATCH = 500


class SlateLog(SourceConfig):
    """Generate news, readers with planted tastes, and what they clicked of slates of five.

    The log is that of a service before any recommender: slates of five articles, drawn by Zipf's
    law over a random ranking times exp of the article's appeal (an editor's eye), of which a reader
    clicks at most one, by `SlateWorld`'s logit model, and no article twice. Random slates are
    clicked one time in ten. `towermill simulate` goes on from there with the same readers.

    Items have ``headline`` and ``short_description`` of invented words, by category and brand, and
    ``category``.

    Parameters
    ----------
    users, items, categories
        How many.
    shown
        Slates in the log, a user.
    seed
        Of everything that is drawn.
    """

    simulates: ClassVar[bool] = True

    kind: str = "slates"
    users: int = Field(default=3_000, ge=1, le=10**7)
    items: int = Field(default=10_000, ge=50, le=10**7)
    categories: int = Field(default=20, ge=2, le=1_000)
    shown: int = Field(default=100, ge=1, le=10**5)
    seed: int = Field(default=0, ge=0)

    def files(self) -> list[Path]:
        """Return no files: all is generated."""
        return []

    def world(self) -> SlateWorld:
        """Return users, items and what decides clicks: what an oracle would know."""
        return build_slate_world(
            users=self.users, items=self.items, categories=self.categories, seed=self.seed
        )

    def log(self, world: SlateWorld) -> pl.DataFrame:
        """Return user_id, item_id (both from 1) and timestamp of the clicks, by time."""
        rng = np.random.default_rng([self.seed, 12])
        # log_popularity is of the places that articles had on the page.
        logits = world.world.log_popularity + world.appeal
        weights = np.exp(logits - logits.max())
        parts = []
        for first in range(0, self.users, _BATCH):
            users = np.arange(first, min(first + _BATCH, self.users)).repeat(self.shown)
            shown = draw(weights, (len(users), SLATE), rng)
            place = choose(world, users, shown, rng)
            clicked = shown[np.arange(len(users)), place]
            seconds = _START + (rng.random(len(users)) * _SPAN).astype(np.int64)
            frame = pl.DataFrame(
                {
                    USER_ID: users + 1,
                    ITEM_ID: clicked + 1,
                    TIMESTAMP: pl.Series(seconds * 1_000_000).cast(pl.Datetime("us")),
                }
            )
            parts.append(frame.filter(pl.Series(place >= 0)))
        log = pl.concat(parts).sort(TIMESTAMP, USER_ID, ITEM_ID)
        return log.unique([USER_ID, ITEM_ID], keep="first", maintain_order=True)

    def read(self, scratch: Path) -> Tables:
        """Generate the tables into `scratch` as Parquet, and return them lazily."""
        world = self.world()
        self.log(world).write_parquet(scratch / "interactions.parquet")
        items = describe(world, np.random.default_rng([self.seed, 13]))
        items.write_parquet(scratch / "items.parquet")
        return Tables(
            interactions=pl.scan_parquet(scratch / "interactions.parquet", glob=False),
            items=pl.scan_parquet(scratch / "items.parquet", glob=False),
            features={"item": {"headline": Feature(kind="title"), "category": Feature()}},
        )
