"""MovieLens-100K by two published protocols, three seeds each: the figures of docs/results.md.

    .venv/bin/python benchmarks/protocols.py [--seeds 0 1 2] [--out runs/protocols]

Prints a table and writes ``protocols.json`` into `--out`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from towermill.pipelines import load_recipe, run
from towermill.runtime.device import quiet_tensorflow

#: Recipe to the figures it is compared with: metric, published figure, its source.
PUBLISHED = {
    "movielens-100k": (
        ("recall@10", 0.2368, "RecBole's README, BPR"),
        ("ndcg@10", 0.2768, "RecBole's README, BPR"),
    ),
    "movielens-100k-tfrs": (("hit_rate@100", 0.30, "target; TFRS tutorial's top-100 accuracy"),),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/protocols"))
    options = parser.parse_args()
    quiet_tensorflow()

    results = []
    for recipe, rows in PUBLISHED.items():
        runs = [_metrics(recipe, seed, options.out) for seed in options.seeds]
        for metric, published, source in rows:
            values = [found["metrics"][metric] for found in runs]
            results.append(
                {
                    "recipe": recipe,
                    "metric": metric,
                    "median": statistics.median(values),
                    "values": values,
                    "popularity": runs[0]["baselines"]["popularity"][metric],
                    "published": published,
                    "source": source,
                    "seconds": [found["seconds"] for found in runs],
                }
            )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "protocols.json").write_text(json.dumps(results, indent=2))
    Console(width=150).print(_table(results))


def _metrics(recipe: str, seed: int, out: Path) -> dict:
    started = time.monotonic()
    # The split keeps its own seed: every run answers the same questions.
    steps = run(load_recipe(recipe, [f"runtime.seed={seed}"]), out)
    folder = next(step.folder for step in steps if step.stage.name == "evaluate")
    found = json.loads((folder / "metrics.json").read_text())
    return found | {"seconds": round(time.monotonic() - started, 1)}


def _table(results: list[dict]) -> Table:
    table = Table("recipe", "metric", "median", "seeds", "popularity", "published", "by")
    for row in results:
        seeds = " ".join(f"{value:.4f}" for value in row["values"])
        table.add_row(
            row["recipe"],
            row["metric"],
            f"{row['median']:.4f}",
            seeds,
            f"{row['popularity']:.4f}",
            f"{row['published']:.4f}",
            row["source"],
        )
    return table


if __name__ == "__main__":
    main()
