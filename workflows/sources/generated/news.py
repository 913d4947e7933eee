"""Impressions of a seeded world of news, of any size, for tests, trials and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from towermill.columns import (
    CLICKED,
    HIDDEN,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    SPLIT,
    TIMESTAMP,
    USER_ID,
)
from towermill.features.config import Feature, Features
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.generated.news_world import (
    DAY,
    START,
    NewsWorld,
    build_news_world,
    describe_articles,
)
from towermill.workflows.sources.generated.world import Floats, Ints, draw
from towermill.workflows.sources.news_logs.parts import as_rows
from towermill.workflows.tables import ImpressionTables, Tables

#: Days of each period; before the first, one day of articles alone.
_HISTORY_DAYS, _TRAIN_DAYS, _VALID_DAYS, _TEST_DAYS, _HIDDEN_DAYS = 14, 6, 1, 2, 1
_DAYS = 1 + _HISTORY_DAYS + _TRAIN_DAYS + _VALID_DAYS + _TEST_DAYS + _HIDDEN_DAYS
#: Impressions generated at a time: what bounds memory.
_BATCH = 1 << 13
_SHORTEST_SLATE, _LONGEST_SLATE = 5, 20
#: Share of impressions with two clicks.
_TWO_CLICKS = 0.03
_SCORES = "scores"

_ITEM_FEATURES: Features = {
    "title": Feature(kind="title"),
    "category": Feature(),
    "sentiment_label": Feature(),
}


class News(SourceConfig):
    """Generate a world of news in which readers click by planted tastes; a seed gives its bytes.

    Ids run from 1, those of articles in the order of publication. Articles come out over 25 days
    from 2024-01-01 and are soon no longer shown, so most articles in ``validation`` and
    ``test`` are new there. Two weeks in which histories grow are followed by six days of ``train``,
    one of ``validation``, two of ``test`` and, where asked for, one of ``hidden``. An impression
    shows 5 to 20 articles, of which one is clicked, in 3% of impressions two: drawn by the softmax
    of true scores, which are the reader's taste for the article's topics and an appeal of the
    article's own. About 4% of readers are anonymous: they have no history. From ``test`` on,
    histories hold the clicks of ``train`` and ``validation`` as well.

    Items have ``published``, ``title`` (5 to 12 invented words, by the article's topics),
    ``category`` (of two topics), ``sentiment_label``, and ``topics`` (the first, as a list), which
    a model should not be given: it would spare it the reading.

    Parameters
    ----------
    users, articles, topics
        How many.
    impressions
        Of ``train``; ``validation`` has a fifth of them and ``test`` two fifths.
    hidden
        Impressions without clicks, to be predicted.
    history_length
        Articles that a reader has read at the start, about.
    taste
        How much tastes decide of the clicks, next to articles' appeal and chance; with 0, nothing.
    seed
        Of everything that is drawn.
    rows
        ``impressions``; or ``clicks``, the clicked articles as plain interactions (`Tables`).
    """

    kind: str = "news"
    users: int = Field(default=2_000, ge=1, le=10**8)
    articles: int = Field(default=3_000, ge=200, le=10**7)
    impressions: int = Field(default=10_000, ge=5, le=10**9)
    hidden: int = Field(default=0, ge=0, le=10**9)
    topics: int = Field(default=20, ge=2, le=1_000)
    history_length: int = Field(default=20, ge=1, le=10_000)
    taste: float = Field(default=1.5, ge=0)
    seed: int = Field(default=0, ge=0)
    rows: Literal["impressions", "clicks"] = "impressions"

    def files(self) -> list[Path]:
        """Return no files: all is generated."""
        return []

    def world(self) -> NewsWorld:
        """Return articles, readers and true scores."""
        return build_news_world(
            users=self.users,
            articles=self.articles,
            topics=self.topics,
            taste=self.taste,
            days=_DAYS,
            seed=self.seed,
        )

    def oracle(self) -> pl.DataFrame:
        """Return, for each impression, the true scores: what ranks best.

        Returns
        -------
        impression_id, split, inview, clicked (of ``hidden`` too) and ``scores`` (list of Float32,
        as inview), in the order of `read`. All impressions are held in memory.
        """
        columns = (IMPRESSION_ID, SPLIT, INVIEW, CLICKED, _SCORES)
        return pl.concat([batch.select(columns) for batch in self._batches(self.world())])

    def read(self, scratch: Path) -> ImpressionTables | Tables:
        """Generate the tables into `scratch` as Parquet, and return them lazily."""
        world = self.world()
        describe_articles(world, np.random.default_rng([self.seed, 1])).write_parquet(
            scratch / "items.parquet"
        )
        folder = scratch / "impressions"
        folder.mkdir(parents=True)
        log = [self._reads(world)]
        histories = [_histories(log, 0)]
        later = False
        for number, batch in enumerate(self._batches(world)):
            if not later and batch[SPLIT][0] in ("test", HIDDEN):
                later = True
                histories.append(_histories(log, histories[0].height))
            frame = batch.join(
                histories[-1].select(USER_ID, HISTORY_ID),
                on=USER_ID,
                how="left",
                maintain_order="left",
            )
            _told(frame).write_parquet(folder / f"part-{number:05}.parquet")
            if not later:
                log.append(_clicks(batch, world))
        pl.concat(histories).write_parquet(scratch / "histories.parquet")
        tables = ImpressionTables(
            impressions=pl.scan_parquet(sorted(folder.iterdir()), glob=False),
            histories=pl.scan_parquet(scratch / "histories.parquet", glob=False),
            items=pl.scan_parquet(scratch / "items.parquet", glob=False),
            features={"item": dict(_ITEM_FEATURES)},
            parts={"validation": "test", **({"test": HIDDEN} if self.hidden else {})},
        )
        return as_rows(tables, self.rows)

    def _reads(self, world: NewsWorld) -> pl.DataFrame:
        """Return user_id, timestamp and item_id of what readers had read before `train`."""
        rng = np.random.default_rng([self.seed, 2])
        length = self.history_length * rng.lognormal(-0.1, 0.5, size=self.users)
        often = np.clip(np.round(length), 1, 5 * self.history_length).astype(np.int64)
        users = np.repeat(np.arange(self.users), np.where(world.anonymous, 0, often))
        end = START + (1 + _HISTORY_DAYS) * DAY
        times = world.opening + rng.random(len(users)) * (end - world.opening)
        parts = []
        for first in range(0, max(len(users), 1), _BATCH):
            who, when = users[first : first + _BATCH], times[first : first + _BATCH].astype(int)
            shown = world.slates(when, _LONGEST_SLATE, rng)
            noise = rng.gumbel(size=shown.shape)
            best = (world.scores(who, shown) + noise).argmax(axis=1)
            parts.append(_events(who, when, shown[np.arange(len(who)), best]))
        return pl.concat(parts)

    def _periods(self) -> Iterator[tuple[str, int, int, int]]:
        """Return split, impressions, beginning and days of each period."""
        sizes = (self.impressions, self.impressions // 5, self.impressions * 2 // 5, self.hidden)
        names = ("train", "validation", "test", HIDDEN)
        begin = START + (1 + _HISTORY_DAYS) * DAY
        days = (_TRAIN_DAYS, _VALID_DAYS, _TEST_DAYS, _HIDDEN_DAYS)
        for name, count, span in zip(names, sizes, days, strict=True):
            yield name, count, begin, span
            begin += span * DAY

    def _batches(self, world: NewsWorld) -> Iterator[pl.DataFrame]:
        """Yield impressions in the order of time, each batch of one split, with true scores."""
        rng = np.random.default_rng([self.seed, 3])
        number = 1
        for split, count, begin, days in self._periods():
            times = np.sort(begin + (rng.random(count) * days * DAY).astype(np.int64))
            for first in range(0, count, _BATCH):
                when = times[first : first + _BATCH]
                users = draw(world.activity, len(when), rng)
                yield _impressions(world, users, when, rng).with_columns(
                    pl.int_range(number, number + len(when), dtype=pl.Int64).alias(IMPRESSION_ID),
                    pl.lit(split).alias(SPLIT),
                )
                number += len(when)


def _impressions(
    world: NewsWorld, users: Ints, times: Ints, rng: np.random.Generator
) -> pl.DataFrame:
    shown = world.slates(times, _LONGEST_SLATE, rng)
    size = np.clip(4 + rng.poisson(6, size=len(users)), _SHORTEST_SLATE, _LONGEST_SLATE)
    scores = world.scores(users, shown)
    noisy = scores + rng.gumbel(size=scores.shape)
    noisy[np.arange(_LONGEST_SLATE) >= size[:, None]] = -np.inf
    # The greatest of such sums are draws, without replacement, by the softmax of the scores.
    best = np.argsort(-noisy, axis=1)[:, :2]
    clicks = 1 + (rng.random(len(users)) < _TWO_CLICKS)
    return pl.DataFrame(
        {
            USER_ID: users + 1,
            TIMESTAMP: pl.Series(times).cast(pl.Datetime("us")),
            INVIEW: _lists(shown + 1, size),
            CLICKED: _lists(np.take_along_axis(shown, best, axis=1) + 1, clicks),
            _SCORES: _lists(scores, size),
        }
    )


def _lists(rows: Ints | Floats, lengths: Ints) -> pl.Series:
    """Return the first `lengths` of each of `rows`, as lists."""
    cut = pl.col("row").arr.to_list().list.head(pl.col("length"))
    return pl.DataFrame({"row": rows, "length": lengths}).select(cut).to_series()


def _events(users: Ints, times: Ints, items: Ints) -> pl.DataFrame:
    return pl.DataFrame(
        {
            USER_ID: users + 1,
            TIMESTAMP: pl.Series(times).cast(pl.Datetime("us")),
            ITEM_ID: items + 1,
        }
    )


def _clicks(batch: pl.DataFrame, world: NewsWorld) -> pl.DataFrame:
    """Return the clicks of readers who are not anonymous."""
    known = pl.Series(~world.anonymous).gather(batch[USER_ID] - 1)
    frame = batch.filter(known).select(USER_ID, TIMESTAMP, pl.col(CLICKED).alias(ITEM_ID))
    return frame.explode(ITEM_ID)


def _histories(log: list[pl.DataFrame], first: int) -> pl.DataFrame:
    """Return history_id (from `first`), user_id and history, of what is read twice the first."""
    return (
        pl.concat(log)
        .sort(USER_ID, TIMESTAMP, maintain_order=True)
        .unique([USER_ID, ITEM_ID], keep="first", maintain_order=True)
        .group_by(USER_ID, maintain_order=True)
        .agg(pl.col(ITEM_ID).alias(HISTORY))
        .with_row_index(HISTORY_ID, offset=first)
        .select(pl.col(HISTORY_ID).cast(pl.Int64), USER_ID, HISTORY)
    )


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of an impressions table; of hidden rows, without the clicks."""
    clicked = pl.when(pl.col(SPLIT) != HIDDEN).then(pl.col(CLICKED)).alias(CLICKED)
    return frame.select(IMPRESSION_ID, USER_ID, TIMESTAMP, HISTORY_ID, INVIEW, clicked, SPLIT)
