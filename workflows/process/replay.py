"""Rows of an earlier training among those of the next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from towermill.files import replacing
from towermill.workflows.graph.write import plain
from towermill.workflows.process.earlier_run import Earlier
from towermill.workflows.tables import ROW_GROUP, row_count

logger = logging.getLogger(__name__)

#: Seed of the order of rows.
_SEED = 1


def replay(
    earlier: Earlier,
    train: Path,
    share: float,
    adapt: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> int:
    """Mix rows that the earlier run trained on into the files of `train`; return how many.

    Learning from new rows alone makes a model forget (catastrophic interference: McCloskey and
    Cohen, 1989); rehearsing old rows among the new ones holds it (Robins, 1995; Rolnick et al.,
    NeurIPS 2019). The training rows of a run that was itself continued are its own and those
    replayed to it: the older, the fewer.

    Parameters
    ----------
    earlier
        Whose rows are drawn, at random and without replacement, always the same ones.
    train
        Holds ``part_<n>.parquet`` and ``_metadata``, which are written again, their rows shuffled.
    share
        Rows to draw for each that is new.
    adapt
        Adapts the drawn rows where they refer to rows that were renumbered.
    """
    files = sorted(train.glob("*.parquet"))
    rows = earlier.sample(round(share * row_count(pl.scan_parquet(files))))
    if not rows.height:
        return 0
    if adapt is not None:
        rows = adapt(rows)
    logger.info("replaying %d rows of the earlier training", rows.height)
    rng = np.random.default_rng(_SEED)
    cuts = np.linspace(0, rows.height, len(files) + 1).astype(int)
    metas: list[pq.FileMetaData] = []
    for file, start, stop in zip(files, cuts[:-1], cuts[1:], strict=True):
        _mix(file, rows[start:stop], rng, metas)
    if (train / "_metadata").is_file():
        pq.write_metadata(
            metas[0].schema.to_arrow_schema(), train / "_metadata", metadata_collector=metas
        )
    return rows.height


def _mix(
    file: Path, rows: pl.DataFrame, rng: np.random.Generator, metas: list[pq.FileMetaData]
) -> None:
    own = pl.read_parquet(file)
    wanted = [
        pl.col(n).cast(kind) if n in rows.columns else pl.lit(None, kind).alias(n)
        for n, kind in own.schema.items()
    ]
    mixed = pl.concat([own, rows.select(wanted)])
    shuffled = mixed[rng.permutation(mixed.height)]
    table = plain(shuffled.to_arrow(compat_level=pl.CompatLevel.oldest()))
    collected: list[pq.FileMetaData] = []
    options = {"compression": "zstd", "store_schema": False, "metadata_collector": collected}
    with (
        replacing(file) as unfinished,
        pq.ParquetWriter(unfinished, table.schema, **options) as writer,
    ):
        writer.write_table(table, ROW_GROUP)
    collected[0].set_file_path(file.name)
    metas += collected
