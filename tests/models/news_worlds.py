"""Tiny processed impressions with a knowable answer, in the layout that `process` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from merlin.schema import ColumnSchema, Schema, Tags
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata

from towermill.columns import (
    CLICKED,
    FIRST_ID,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LABELS,
    PUBLISHED,
    TIMESTAMP,
    TOKENS,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
)
from towermill.processed import ProcessedFolder, Stats, TextStats

IDS = pl.List(pl.Int32)
IMPRESSIONS = {
    IMPRESSION_ID: pl.Int64,
    USER_ID: pl.Int32,
    HISTORY_ID: pl.Int32,
    TIMESTAMP: pl.Datetime("us"),
    INVIEW: IDS,
    CLICKED: IDS,
}
NOON = datetime(2023, 5, 1, 12)
#: An impression: user, row of the histories, hours after `NOON`, shown, clicked.
Row = tuple[int, int, float, list[int], list[int]]

TOPICS = 4
#: Words of a topic, of which each title has two; and words that tell nothing.
WORDS, CHAFF = 4, 4


def impressions(rows: Sequence[Row], first: int = 100) -> pl.DataFrame:
    """Return rows of a split, numbered from `first`."""
    table = pl.DataFrame(
        [
            (first + i, user, history, NOON + timedelta(hours=hours), shown, clicked)
            for i, (user, history, hours, shown, clicked) in enumerate(rows)
        ],
        schema=IMPRESSIONS,
        orient="row",
    )
    labels = [[int(item in clicked) for item in shown] for *_, shown, clicked in rows]
    return table.with_columns(pl.Series(LABELS, labels, dtype=pl.List(pl.Int8)))


def articles(
    tokens: Sequence[Sequence[int]],
    *,
    category: Sequence[int] | None = None,
    published: Sequence[float | None] | None = None,
    vectors: Any = None,
) -> pl.DataFrame:
    """Return the catalogue, by encoded id from 3; `published` is in hours after `NOON`."""
    size = len(tokens)
    frame = pl.DataFrame(
        {ITEM_ID: range(FIRST_ID, size + FIRST_ID), TOKENS: [list(t) for t in tokens]},
        schema={ITEM_ID: pl.Int32, TOKENS: IDS},
    )
    if category is not None:
        frame = frame.with_columns(pl.Series("category", list(category), dtype=pl.Int32))
    if published is not None:
        moments = [None if h is None else NOON + timedelta(hours=h) for h in published]
        frame = frame.with_columns(pl.Series(PUBLISHED, moments, dtype=pl.Datetime("us")))
    if vectors is not None:
        array = np.asarray(vectors, np.float32)
        column = pl.Series(VECTOR, array, dtype=pl.Array(pl.Float32, array.shape[1]))
        frame = frame.with_columns(column)
    return frame


def write_impressions(
    folder: Path,
    splits: Mapping[str, pl.DataFrame],
    items: pl.DataFrame,
    histories: Sequence[Sequence[int]] = (),
    *,
    history_size: int = 4,
    title_size: int = 5,
    words: int = 30,
    word_dim: int = 8,
) -> Path:
    """Write encoded impressions; `histories` are those from row 1, row 0 is the empty one."""
    for name, frame in splits.items():
        (folder / name).mkdir(parents=True)
        frame.write_parquet(folder / name / "part_0.parquet")
    rows = [[], *(list(h) for h in histories)]
    table = pl.DataFrame({HISTORY: rows}, schema={HISTORY: IDS})
    table.write_parquet(folder / "histories.parquet")
    train = splits["train"]
    latest = (
        train.filter(pl.col(USER_ID) >= FIRST_ID)
        .group_by(USER_ID)
        .agg(pl.col(HISTORY_ID).last())
        .sort(USER_ID)
    )
    latest.select(USER_ID, table[HISTORY].gather(latest[HISTORY_ID]).alias(HISTORY)).write_parquet(
        folder / "users.parquet"
    )
    counts = np.bincount(train[CLICKED].explode().drop_nulls(), minlength=items.height + FIRST_ID)
    items.with_columns(pl.Series(TRAIN_COUNT, counts[FIRST_ID:])).write_parquet(
        folder / "items.parquet"
    )
    top = items.height + FIRST_ID - 1
    columns = [
        _category(USER_ID, int(train[USER_ID].max() or 0), [Tags.USER, Tags.USER_ID]),  # type: ignore[arg-type]
        _category(ITEM_ID, top, [Tags.ITEM, Tags.ITEM_ID]),
        _category(HISTORY, top, [Tags.USER], history_size),
        _category(TOKENS, words - 1, [Tags.ITEM], title_size),
    ]
    if "category" in items.columns:
        columns.append(_category("category", int(items["category"].max()), [Tags.ITEM]))  # type: ignore[arg-type]
    columns += [
        ColumnSchema(name, dtype=np.float32, tags=[Tags.ITEM, Tags.CONTINUOUS])
        for name, kind in items.schema.items()
        if kind == pl.Float32
    ]
    if VECTOR in items.columns:
        dim = items[VECTOR].dtype.size  # type: ignore[attr-defined]
        columns.append(
            ColumnSchema(
                VECTOR,
                dtype=np.float32,
                is_list=True,
                is_ragged=False,
                tags=[Tags.ITEM, Tags.EMBEDDING],
                properties={"value_count": {"min": dim, "max": dim}},
            )
        )
    TensorflowMetadata.from_merlin_schema(Schema(columns)).to_proto_text_file(str(folder))
    last = max(frame[TIMESTAMP].max() for frame in splits.values() if frame.height)  # type: ignore[type-var]
    Stats(
        rows={name: frame.height for name, frame in splits.items()},
        users=latest.height,
        items=items.height,
        as_of=last,  # type: ignore[arg-type]
        text=TextStats(tokens=words, word_dim=word_dim),
    ).write(ProcessedFolder(folder))
    return folder


def _category(name: str, top: int, tags: list[Tags], longest: int = 0) -> ColumnSchema:
    properties: dict[str, Any] = {"domain": {"min": 0, "max": top, "name": name}}
    if longest:
        properties["value_count"] = {"min": 0, "max": longest}
    kind = Tags.TEXT_TOKENIZED if name == TOKENS else Tags.CATEGORICAL
    return ColumnSchema(
        name,
        dtype=np.int32,
        is_list=bool(longest),
        is_ragged=bool(longest),
        tags=[*tags, kind],
        properties=properties,
    )


def topic_world(folder: Path) -> Path:
    """Write a world where a reader clicks the article of the topic that the history tells.

    There are `TOPICS` topics, told by an article's words and by its vector, and by nothing else:
    category, age and reader are drawn at random. Of five articles shown, one is of the topic; so a
    model that knows words, and reads histories, has an AUC of 1. Each split shows articles of its
    own: those of validation and test were never clicked, nor read, in training, and popularity
    finds nothing.
    """
    rng = np.random.default_rng(11)
    sizes = {"train": 80, "validation": 40, "test": 40}
    bounds = np.concatenate([[0], np.cumsum(list(sizes.values()))]) + FIRST_ID
    total = sum(sizes.values())
    topic = np.arange(total) % TOPICS

    def title(of: int) -> list[int]:
        own = rng.choice(WORDS, 2, replace=False) + FIRST_ID + of * WORDS
        chaff = rng.integers(CHAFF, size=rng.integers(0, 3)) + FIRST_ID + TOPICS * WORDS
        return rng.permutation([*own, *chaff]).tolist()

    vectors = np.eye(TOPICS + 1)[topic] + rng.normal(0, 0.1, (total, TOPICS + 1))
    items = articles(
        [title(t) for t in topic],
        category=rng.integers(FIRST_ID, 6, total).tolist(),
        published=[
            None if i % 9 == 8 else float(h) for i, h in enumerate(rng.uniform(-60, 0, total))
        ],
        vectors=vectors,
    )
    histories, about = [], []
    for number in range(48):
        own = np.flatnonzero(topic[: sizes["train"]] == number % TOPICS) + FIRST_ID
        histories.append(rng.choice(own, rng.integers(2, 6), replace=False)[-4:].tolist())
        about.append(number % TOPICS)

    def rows(first: int, last: int, count: int) -> list[Row]:
        ids = np.arange(first, last)
        made: list[Row] = []
        for _ in range(count):
            history = int(rng.integers(len(histories)))
            own = topic[ids - FIRST_ID] == about[history]
            clicked = int(rng.choice(ids[own]))
            shown = rng.permutation([clicked, *rng.choice(ids[~own], 4, replace=False)])
            user = FIRST_ID + int(rng.integers(20))
            made.append((user, history + 1, float(rng.uniform(0, 9)), shown.tolist(), [clicked]))
        return made

    counts = {"train": 388, "validation": 60, "test": 90}
    splits = {
        name: impressions(rows(int(bounds[i]), int(bounds[i + 1]), count), first=1000 * i)
        for i, (name, count) in enumerate(counts.items())
    }
    histories.append([2, 5, 1, 4])  # of nobody: what it read is known in part
    words = FIRST_ID + TOPICS * WORDS + CHAFF
    return write_impressions(folder, splits, items, histories, words=words)


def taste_world(folder: Path) -> Path:
    """Write a world where a reader clicks the article of the own taste, told by ids alone.

    There are `TOPICS` tastes, each article and each reader is of one; of five articles shown, one
    is of the reader's. All readers and articles stand in training, and all articles are clicked
    about as often: so a model of both ids has an AUC of 1, and popularity finds nothing. The number
    ``mood`` says nothing.
    """
    rng = np.random.default_rng(5)
    users, size = 48, 60
    taste = np.arange(size) % TOPICS
    items = articles([[FIRST_ID]] * size)
    items = items.with_columns(pl.Series("mood", rng.normal(size=size), dtype=pl.Float32))
    histories = [rng.choice(size, 3, replace=False) + FIRST_ID for _ in range(users)]

    def rows(count: int) -> list[Row]:
        made: list[Row] = []
        for _ in range(count):
            user = int(rng.integers(users))
            own = taste == user % TOPICS
            clicked = int(rng.choice(np.flatnonzero(own)))
            others = rng.choice(np.flatnonzero(~own), 4, replace=False)
            shown = (rng.permutation([clicked, *others]) + FIRST_ID).tolist()
            hours = float(rng.uniform(0, 9))
            made.append((user + FIRST_ID, user + 1, hours, shown, [clicked + FIRST_ID]))
        return made

    counts = {"train": 1000, "validation": 80, "test": 120}
    splits = {
        name: impressions(rows(count), first=2000 * i)
        for i, (name, count) in enumerate(counts.items())
    }
    return write_impressions(folder, splits, items, histories)


def mood_world(folder: Path) -> Path:
    """Write a world where what was read tells the mood that is clicked, and ids tell nothing.

    A reader has read cheerful articles or gloomy ones, and clicks the one shown that is like them.
    Test readers are strangers, and test articles were never shown in training: so only the numbers
    ``cheerful`` and ``gloomy``, averaged over what was read, find the click.
    """
    rng = np.random.default_rng(6)
    sizes = {"train": 60, "validation": 30, "test": 30}
    bounds = np.concatenate([[0], np.cumsum(list(sizes.values()))]) + FIRST_ID
    total = sum(sizes.values())
    cheerful = np.arange(total) % 2 == 0
    moods = np.where(cheerful, rng.uniform(0.7, 1.0, total), rng.uniform(0.0, 0.3, total))
    items = articles([[FIRST_ID]] * total).with_columns(
        pl.Series("cheerful", moods, dtype=pl.Float32),
        pl.Series("gloomy", 1 - moods, dtype=pl.Float32),
    )
    histories = [
        rng.choice(np.flatnonzero(cheerful[: sizes["train"]] == (i % 2 == 0)), 3) + FIRST_ID
        for i in range(40)
    ]

    def rows(first: int, last: int, count: int, *, known: bool) -> list[Row]:
        made: list[Row] = []
        ids = np.arange(first, last)
        for _ in range(count):
            history = int(rng.integers(len(histories)))
            own = cheerful[ids - FIRST_ID] == (history % 2 == 0)
            clicked = int(rng.choice(ids[own]))
            shown = rng.permutation([clicked, *rng.choice(ids[~own], 4, replace=False)]).tolist()
            user = FIRST_ID + history if known else 2
            made.append((user, history + 1, float(rng.uniform(0, 9)), shown, [clicked]))
        return made

    counts = {"train": 600, "validation": 60, "test": 90}
    splits = {
        name: impressions(
            rows(int(bounds[i]), int(bounds[i + 1]), count, known=name != "test"), first=1000 * i
        )
        for i, (name, count) in enumerate(counts.items())
    }
    return write_impressions(folder, splits, items, histories)
