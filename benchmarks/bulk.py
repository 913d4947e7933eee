"""Recommending to all at once against a plain loop over `Bundle.recommend`.

    .venv/bin/python benchmarks/bulk.py [--users 6040] [--items 3706] [--interactions 1000209]
        [--sample 500] [--repeat 3] [--data runs/bulk]

On a generated log of MovieLens-1M's size and that recipe's model. The loop serves a sample of the
users by an opened, warm bundle; bulk is the whole call, opening and writing included. Their outputs
are compared with each other. They take turns; medians and ratios of pairs are shown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from towermill.pipelines import Bundle, run, validate_recipe
from towermill.pipelines.recommend.for_all import recommend_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--interactions", type=int, default=1_000_209)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--data", type=Path, default=Path("runs/bulk"))
    options = parser.parse_args()

    bundle = _bundle(options)
    opened = Bundle.open(bundle)
    ids = pl.read_parquet(bundle / "user_features.parquet")["raw_user_id"]
    sample = ids.sample(min(options.sample, len(ids)), seed=0).to_list()
    out = options.data / "recs.parquet"
    opened.recommend(sample[0], options.k)
    recommend_all(bundle, out, options.k)  # warm, both

    table = Table("", "loop, users/s", "bulk, users/s", "ratio", "ratio a processor second")
    ratios: list[tuple[float, ...]] = []
    for turn in range(options.repeat):
        served = _Clock()
        one_by_one = {user: opened.recommend(user, options.k).items for user in sample}
        loop = served.rates(len(sample))
        served = _Clock()
        written = recommend_all(bundle, out, options.k)
        bulk = served.rates(written.users)
        _hold_against(out, one_by_one)
        ratios.append((loop[0], bulk[0], bulk[0] / loop[0], bulk[1] / loop[1]))
        table.add_row(f"turn {turn + 1}", *_cells(ratios[-1]))
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    table.add_row("median", *_cells(medians))
    Console(width=80).print(f"{len(ids)} users, k {options.k}", table)


class _Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def rates(self, users: int) -> tuple[float, float]:
        """Return users a second, and a processor second."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        return users / wall, users / processor


def _cells(row: Sequence[float]) -> list[str]:
    return [f"{row[0]:.0f}", f"{row[1]:.0f}", f"{row[2]:.1f}", f"{row[3]:.1f}"]


def _bundle(options: argparse.Namespace) -> Path:
    sizes = {name: getattr(options, name) for name in ("users", "items", "interactions")}
    recipe = validate_recipe(
        {
            "name": "-".join(map(str, sizes.values())),
            "source": {"kind": "synthetic", **sizes},
            "model": {"tower": [], "embedding_dim": 64},
            "train": {"epochs": 1, "batch_size": 4096, "learning_rate": 0.003},
            "runtime": {"device": "cpu"},
        }
    )
    run(recipe, options.data)
    return options.data / recipe.name / "latest" / "bundle"


def _hold_against(out: Path, one_by_one: dict[int, list[dict[str, float]]]) -> None:
    table = pl.read_parquet(out).filter(pl.col("user_id").is_in(list(one_by_one)))
    for (user,), rows in table.group_by("user_id"):
        expected = [(item["item_id"], item["score"]) for item in one_by_one[int(user)]]
        if list(zip(rows["item_id"], rows["score"], strict=True)) != expected:
            raise SystemExit(f"User {user} is given other items in bulk.")


if __name__ == "__main__":
    main()
