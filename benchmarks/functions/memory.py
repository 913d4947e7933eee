"""Peak memory and seconds of filters, splits, joins and their writing, as rows grow.

    .venv/bin/python benchmarks/functions/memory.py [--rows 5000000 20000000] [--cases time seen …]
        [--users 200000] [--items 50000] [--data runs/memory] [--json memory.json]

Every case runs in a separate process on a generated log whose rows grow while the numbers of users
and items stay the same: a peak that grows with the rows shows a step that does not stream.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from towermill.workflows.config import FeatureConfig
from towermill.workflows.prepare.check_interactions import InteractionChecks
from towermill.workflows.process.interaction_inputs import write_raw_splits
from towermill.workflows.process.user_lists import write_seen
from towermill.workflows.selecting.filters import Filters, apply_filters
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import FEATURES_FILE, Proposal, Tables, read_tables, write_tables

#: Case to the sections `filters` and `split` of a recipe; None writes no splits.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "time": ({"min_rating": 2, "min_user": 5, "min_item": 5}, {"kind": "time"}),
    "leave_one_out": ({"min_rating": 2, "min_user": 5, "min_item": 5}, {"kind": "leave_one_out"}),
    "random_row": ({"min_rating": 2, "min_user": 5, "min_item": 5}, {"kind": "random"}),
    "random_user": (
        {"min_rating": 2, "min_user": 5, "min_item": 5},
        {"kind": "random", "by": "user"},
    ),
    "given_flag": ({}, {"kind": "given", "cold": "flag"}),
    "deduplicate": ({"deduplicate": "last"}, {"kind": "time"}),
    "core": ({"min_user": 20, "min_item": 20, "core": True}, {"kind": "time"}),
    "prepare": ({}, None),
    "seen": ({}, None),
}
FEATURES = {
    "user": {"segment": "category"},
    "item": {"genre": "category", "tags": "list", "price": "number"},
    "context": {"device": "category", "session": "number"},
}
CHUNK = 1_000_000
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000_000, 20_000_000])
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--data", type=Path, default=Path("runs/memory"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(_measured(options.only[0], Path(options.only[1]))))  # noqa: T201
        return

    results = []
    for rows in options.rows:
        folder = options.data / f"{rows}-{options.users}-{options.items}"
        if not (folder / FEATURES_FILE).is_file():
            # In a separate process too: a child's peak begins at that of its parent.
            args = (folder, rows, options.users, options.items)
            maker = multiprocessing.get_context("spawn").Process(target=make, args=args)
            maker.start()
            maker.join()
        for case in options.cases:
            done = subprocess.run(
                [sys.executable, __file__, "--only", case, str(folder)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            results.append({"case": case, "rows": rows} | json.loads(done.stdout))
            Console(stderr=True).print(results[-1])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    Console(width=100).print(_table(results))


def _measured(case: str, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        started = time.monotonic()
        _run(case, folder, Path(scratch))
        seconds = time.monotonic() - started
        files = (Path(scratch) / "out").glob("*.parquet")
        written = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "written": written,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss * unit / 2**20),
    }


def _run(case: str, folder: Path, scratch: Path) -> None:
    filters, split = CASES[case]
    out = scratch / "out"
    out.mkdir()
    tables = read_tables(folder)
    assert isinstance(tables, Tables)
    if case == "prepare":
        InteractionChecks.check(tables).write(out)
        write_tables(tables, out)
    elif case == "seen":
        for key, table in (("user_id", tables.users), ("item_id", tables.items)):
            assert table is not None
            ids = table.select(pl.col(key).alias(f"raw_{key}"))
            ids.with_row_index(key, offset=3).cast({key: pl.Int32}).sink_parquet(
                out / f"{key[:-3]}s.parquet"
            )
        write_seen(tables.interactions, out, scratch)
        (out / "users.parquet").unlink()
        (out / "items.parquet").unlink()
    else:
        features = FeatureConfig.model_validate(FEATURES).over({})
        tables = apply_filters(tables, Filters(**filters), scratch)
        write_raw_splits(tables, features, Split(**(split or {})), out)


def _table(results: list[dict[str, Any]]) -> Table:
    sizes = sorted({found["rows"] for found in results})
    table = Table("case", *(f"{rows / 1e6:g} M rows" for rows in sizes), "largest ÷ smallest")
    for case in dict.fromkeys(found["case"] for found in results):
        by_rows = {found["rows"]: found for found in results if found["case"] == case}
        cells = [_cell(by_rows[n]) for n in sizes]
        growth = by_rows[sizes[-1]]["peak_mib"] / by_rows[sizes[0]]["peak_mib"]
        table.add_row(case, *cells, f"{growth:.2f}")
    return table


def _cell(found: dict[str, Any]) -> str:
    return f"{found['peak_mib']} MiB, {found['seconds']:.0f} s, CPU {found['cpu_seconds']:.0f} s"


def make(folder: Path, rows: int, users: int, items: int) -> None:
    """Write a seeded log and its side tables, chunk by chunk, as `prepare` leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pl.DataFrame(
        {"user_id": np.arange(users), "segment": rng.integers(0, 50, users)}
    ).write_parquet(folder / "users.parquet")
    pl.DataFrame(
        {
            "item_id": [f"item-{item:08d}" for item in range(items)],
            "genre": rng.integers(0, 20, items),
            "tags": rng.integers(0, 100, (items, 3)).tolist(),
            "price": rng.random(items),
        }
    ).write_parquet(folder / "items.parquet")
    writer = None
    for chunk in _chunks(rng, rows, users, items):
        table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(folder / "interactions.parquet", table.schema)
        writer.write_table(table, row_group_size=250_000)
    if writer is not None:
        writer.close()
    # Last, as the sign that the folder is whole.
    Proposal(version=1, features={}).write(folder)


def _chunks(rng: np.random.Generator, rows: int, users: int, items: int) -> Iterator[pl.DataFrame]:
    """Yield a log by time with some disorder and ties; few users and items have most rows."""
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        seconds = (np.arange(start, start + n) + rng.normal(0, 5_000, n)) / rows * 3e7
        item = (rng.beta(0.6, 4, n) * items).astype(np.int64)
        frame = pl.DataFrame(
            {
                "user_id": (rng.beta(0.8, 3, n) * users).astype(np.int64),
                "item": item,
                "timestamp": START + seconds.clip(0).astype(np.int64) * 1_000_000,
                "rating": rng.integers(1, 11, n) / 2,
                "device": rng.integers(0, 5, n),
                "session": rng.random(n),
                "place": start + np.arange(n),
            }
        )
        place = pl.col("place")
        yield frame.select(
            "user_id",
            pl.format("item-{}", pl.col("item").cast(pl.String).str.zfill(8)).alias("item_id"),
            pl.col("timestamp").cast(pl.Datetime("us")),
            pl.when(place % 97 > 0).then(pl.col("rating")).alias("rating"),
            pl.format("device-{}", "device").alias("device"),
            "session",
            pl.when(place > rows * 0.9)
            .then(pl.lit("test"))
            .when(place > rows * 0.8)
            .then(pl.lit("validation"))
            .otherwise(pl.lit("train"))
            .alias("split"),
        )


if __name__ == "__main__":
    main()
