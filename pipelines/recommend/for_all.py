"""Recommend for all users and write Parquet, in blocks, locally or on a Dask cluster."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import DataError, did_you_mean
from towermill.files import replacing
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import MANIFEST, load_manifest
from towermill.pipelines.recommend.combined.base import Combination
from towermill.pipelines.recommend.open import manifests_of, open_recommender
from towermill.pipelines.running.shared_storage import require_readable
from towermill.pipelines.search.exact import check_k
from towermill.pipelines.stages.output import require_target
from towermill.progress import progress
from towermill.runtime.cluster import cluster_client, cluster_failures
from towermill.runtime.device import Runtime
from towermill.runtime.in_order import in_order, tasks_ahead
from towermill.workflows.sources.reading.files import find_files, scan

logger = logging.getLogger(__name__)

Opened = Bundle | Combination
#: Users of a block: the unit of work and of writing.
_USERS = 4096
#: The folders of a bundle that are read.
_READ = ("tables/", "index/", "onnx/")


@dataclass(frozen=True)
class Written:
    """The counts of what `recommend_all` wrote: users, rows, and unknown ids of its list."""

    users: int
    rows: int
    unknown: int


def recommend_all(
    bundle: str | Path,
    out: str | Path,
    k: int = 10,
    *,
    filter_seen: bool = True,
    users: str | Path | None = None,
    runtime: Runtime | None = None,
) -> Written:
    """Write the `k` best items of each user: what `recommend` gives them, ties included.

    Memory holds the item embeddings and a block of users by the catalogue, or by the candidates of
    a funnel.

    Parameters
    ----------
    bundle
        Its folder, or the YAML file of a funnel; with a cluster, on storage that all workers see.
    out
        The Parquet file, which appears whole or not at all: ``user_id`` and ``item_id`` (raw),
        ``score`` (float32), ``rank`` (int32, from 1). Users are in the bundle's order, each
        best first; one who has seen nearly all items has fewer than `k` rows. A funnel's score is
        null for an item that its ranker does not know.
    k
        How many, at least 1.
    filter_seen
        Leave out the items that a user has seen.
    users
        Parquet, CSV or TSV with a column ``user_id``: for these alone. Ids that the bundle does
        not know are left out and counted.
    runtime
        Where it computes; default: here.

    Raises
    ------
    BundleError
        The bundle is not whole or cannot answer in bulk, or `k` is not a positive integer.
    DataError
        `out` is a folder, or `users` has no such column or no known user.
    StageError
        The cluster breaks off.
    """
    check_k(k)
    out, runtime = Path(out), runtime or Runtime()
    opened = open_recommender(bundle)
    opened.require_in_bulk()
    require_target(out)
    blocks, unknown = _blocks(opened, None if users is None else Path(users))
    order = _Order(Path(bundle).absolute(), k, filter_seen)
    wanted, rows = sum(block.size for block in blocks), 0
    writer: pq.ParquetWriter | None = None
    with replacing(out) as partial, cluster_client(runtime) as client, progress() as bars:
        bar = bars.add_task("recommending", total=wanted)
        found = _here(opened, order, blocks) if client is None else _spread(client, order, blocks)
        try:
            for block, frame in zip(blocks, found, strict=True):
                table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
                writer = writer or pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
                rows += table.num_rows
                bars.advance(bar, block.size)
        finally:
            if writer is not None:
                writer.close()
    return Written(wanted, rows, unknown)


@dataclass(frozen=True)
class _Order:
    """Settings that all blocks share."""

    path: Path
    k: int
    filter_seen: bool


def _blocks(bundle: Opened, users: Path | None) -> tuple[list[NDArray[np.int64]], int]:
    """Return the users' rows in the bundle, ascending, a block each; and how many are unknown."""
    if users is None:
        rows, unknown = np.arange(bundle.manifest.rows.users), 0
    else:
        rows, unknown = _rows_of(bundle, users)
    if not len(rows):
        raise DataError("There should be users to recommend to; the bundle has none.")
    cuts = np.flatnonzero(np.diff(rows // _USERS)) + 1
    return np.split(rows, cuts), unknown


def _rows_of(bundle: Opened, users: Path) -> tuple[NDArray[np.int64], int]:
    """Return the rows of a file's known users, ascending, and its number of unknown users."""
    held = pl.Series(USER_ID, bundle.users.raw(USER_ID))
    kind = held.dtype
    # Text that looks like a number is text if it was in training.
    own = bundle.manifest.raw_columns("user").get(USER_ID, USER_ID)
    text = {USER_ID: pl.String, own: pl.String} if kind == pl.String else {}
    table = scan(find_files(users, "users"), text)
    if USER_ID not in table.collect_schema():
        table = table.rename({own: USER_ID}, strict=False)
    columns = table.collect_schema()
    if USER_ID not in columns:
        near = did_you_mean(USER_ID, columns)
        raise DataError(
            f"{users} should have a column `user_id`.{near} Found: {', '.join(columns)}."
        )
    if columns[USER_ID] != pl.String and not columns[USER_ID].is_numeric():
        raise DataError(
            f"`user_id` of {users} should be text or whole numbers. Its type is {columns[USER_ID]}."
        )
    try:
        ids = table.select(USER_ID).unique().collect()[USER_ID]
    except pl.exceptions.PolarsError as error:
        raise DataError(f"Cannot read {users}: {error}. Fix the file.") from error
    asked = len(ids)
    if ids.dtype.is_float():
        ids = ids.filter(ids == ids.floor())  # a cast to an integer would make another user's
        ids = ids.cast(pl.Int64, strict=False)
    ids = ids.cast(kind, strict=False).drop_nulls()
    known = held.is_in(ids.implode()).arg_true()
    if not len(known):
        raise DataError(
            f"None of the {asked} users of {users} is known to the bundle. Expected raw ids, such "
            f"as {held[0]!r}."
        )
    return known.cast(pl.Int64).to_numpy(), asked - len(known)


def _here(bundle: Opened, order: _Order, blocks: list[NDArray[np.int64]]) -> Iterator[pl.DataFrame]:
    for block in blocks:
        yield _recommend(bundle, order, block)


def _spread(client: Any, order: _Order, blocks: list[NDArray[np.int64]]) -> Iterator[pl.DataFrame]:
    """Yield blocks in their order as workers are done with them."""
    manifests = manifests_of(order.path)
    needed = list(manifests)
    for folder in {file.parent for file in manifests if file.name == MANIFEST}:
        files = load_manifest(folder).files
        needed += [folder / name for name in files if name.startswith(_READ)]
    require_readable(client, needed)
    submit = partial(client.submit, recommend_block, order, pure=False)
    with cluster_failures():
        yield from in_order(submit, blocks, tasks_ahead(client))


_opened: dict[tuple[Any, ...], Opened] = {}
_opening = threading.Lock()


def recommend_block(order: _Order, rows: NDArray[np.int64]) -> pl.DataFrame:
    """Return the recommendations of a block of users; on a worker, which opens a bundle once."""
    with _opening:  # a worker may have several threads
        known = tuple((file, file.stat().st_mtime_ns) for file in manifests_of(order.path))
        if known not in _opened:
            _opened.clear()
            _opened[known] = open_recommender(order.path)
        bundle = _opened[known]
    return _recommend(bundle, order, rows)


def _recommend(bundle: Opened, order: _Order, rows: NDArray[np.int64]) -> pl.DataFrame:
    items, scores = bundle.best_of_users(rows, order.k, order.filter_seen)
    k = items.shape[1]
    users = pl.Series(bundle.users.raw(USER_ID).take(pa.array(np.repeat(rows, k))))
    lists = pl.DataFrame(
        {
            USER_ID: users,
            "item": items.ravel(),
            "score": pl.Series(scores.ravel(), dtype=pl.Float32).fill_nan(None),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), len(rows)),
        }
    ).filter(pl.col("item") >= 0)
    found = pl.Series(ITEM_ID, bundle.items.raw(ITEM_ID).take(pa.array(lists["item"].to_numpy())))
    return lists.select(USER_ID, found, "score", "rank")
