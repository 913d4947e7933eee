"""The logs and impressions that ``etl.py`` times: seeded, skewed, made once and reused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: Ids a column of Ali-CCP, about: small data does not meet all of the rarest.
CARDINALITIES = {
    "user_id": 214_994,
    "item_id": 568_847,
    "item_category": 9_800,
    "item_shop": 263_000,
    "item_brand": 95_000,
    "user_shops": 108_000,
    "user_profile": 98,
    "user_group": 14,
    "user_gender": 3,
    "user_age": 8,
    "user_consumption_2": 4,
    "user_is_occupied": 3,
    "user_geography": 5,
    "user_intentions": 26_000,
    "user_brands": 52_000,
    "user_categories": 6_000,
}
#: Share of a column's rows that are null.
NULLS = {"item_brand": 0.01, "user_intentions": 0.02, "user_geography": 0.05}
CLICKS = 0.04
#: Articles, where their ids lie, and ids a list, like EB-NeRD's.
ARTICLES, ARTICLE_IDS, LENGTHS = 125_541, (3_000_000, 9_800_000), (30, 200)
SEED = 0
#: The data is another where this is.
VERSION = 1
ROW_GROUP = 250_000
_CHUNK = 1_000_000
_LIST_CHUNK = 50_000


def make_logs(folder: Path, rows: int, *, hashed: bool = False) -> Path:
    """Return a file of `rows` clicks: 16 int64 columns of ids, and ``click`` (int8).

    Parameters
    ----------
    folder
        Where it is, or will be.
    rows
        Of the file.
    hashed
        Ids lie anywhere below 2⁵³, as those do that were hashed; else within four times their
        number, as Ali-CCP's do.
    """
    name = f"{'hashed' if hashed else 'logs'}_{rows}"
    vocabularies = {
        column: _ids(np.random.default_rng([SEED, n]), size, 1000 * (n + 1), hashed)
        for n, (column, size) in enumerate(CARDINALITIES.items())
    }

    def chunk(start: int, size: int) -> pa.Table:
        random = np.random.default_rng([SEED, 99, start])
        columns = {}
        for column, values in vocabularies.items():
            drawn = values[_ranks(random, size, len(values))]
            null = random.random(size) < NULLS[column] if column in NULLS else None
            columns[column] = pa.array(drawn, mask=null)
        columns["click"] = pa.array((random.random(size) < CLICKS).astype(np.int8))
        return pa.table(columns)

    return _make(folder, name, rows, chunk, _CHUNK)


def make_impressions(folder: Path, rows: int) -> Path:
    """Return a file of `rows` impressions: ``article_id``, ``history`` and ``inview``.

    All three are int32 ids of the same articles, the last two lists of 30 to 200.
    """
    random = np.random.default_rng([SEED, 50])
    articles = random.choice(np.arange(*ARTICLE_IDS, dtype=np.int32), ARTICLES, replace=False)

    def chunk(start: int, size: int) -> pa.Table:
        random = np.random.default_rng([SEED, 98, start])
        columns = {
            "impression_id": pa.array(np.arange(start, start + size)),
            "article_id": pa.array(articles[_ranks(random, size, ARTICLES)]),
        }
        for name in ("history", "inview"):
            offsets = np.zeros(size + 1, np.int32)
            np.cumsum(random.integers(LENGTHS[0], LENGTHS[1] + 1, size), out=offsets[1:])
            values = articles[_ranks(random, offsets[-1], ARTICLES)]
            columns[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        return pa.table(columns)

    return _make(folder, f"impressions_{rows}", rows, chunk, _LIST_CHUNK)


def _ids(random: np.random.Generator, size: int, first: int, hashed: bool) -> np.ndarray:
    if hashed:
        drawn = np.unique(random.integers(0, 1 << 53, 2 * size))
        return random.permutation(drawn)[:size]
    return random.permutation(4 * size)[:size].astype(np.int64) + first


def _ranks(random: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Draw ranks, the rank r with a probability that falls as r to the power of -0.6."""
    return (count * random.random(size) ** 2.5).astype(np.int64)


def _make(
    folder: Path, name: str, rows: int, chunk: Callable[[int, int], pa.Table], step: int
) -> Path:
    """Write the chunks to a file unless it is there, whole; its marker is written last."""
    path, marker = folder / f"{name}.parquet", folder / f"{name}.json"
    facts = json.dumps({"rows": rows, "seed": SEED, "version": VERSION})
    if marker.is_file() and marker.read_text() == facts and path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    with pq.ParquetWriter(path, chunk(0, 0).schema, compression="zstd") as writer:
        for start in range(0, rows, step):
            writer.write_table(chunk(start, min(step, rows - start)), row_group_size=ROW_GROUP)
    marker.write_text(facts)
    return path
