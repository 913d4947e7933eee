"""How near a recipe comes to the best reachable AUC, on a world whose truth is known.

    .venv/bin/python benchmarks/news_world.py WORLD [--recipe ebnerd-nrms] [--set key=value ...]
        [--out runs/news_world] [--json runs/news_world.json]

WORLD is a folder in EB-NeRD's layout with an ``oracle.parquet`` beside it: the true score of every
article shown in its validation part, which is the recipe's test split. Runs the recipe on it and
prints the test AUC, the oracle's, the share of the way from 0.5 to there, popularity and recency,
and the minutes that training took. Several ``--seeds`` give a mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from towermill.models.metrics.impressions.ranking import impression_metrics
from towermill.pipelines import Selection, load_recipe, run
from towermill.runtime.device import quiet_tensorflow

KEYS = ("impression_id", "article_ids_inview")
BASELINES = ("popularity", "recency", "random")


def main() -> None:
    options = _options()
    quiet_tensorflow()
    oracle = oracle_auc(options.world)
    runs = [_run(options, seed) | {"seed": seed} for seed in options.seeds]
    for found in runs:
        found["share"] = (found["auc"] - 0.5) / (oracle["auc"] - 0.5)
    results = {
        "world": str(options.world),
        "recipe": options.recipe,
        "set": options.set,
        "cores": len(os.sched_getaffinity(0)),
        "oracle": oracle,
        "runs": runs,
        "means": {
            name: statistics.mean(found[name] for found in runs)
            for name in ("auc", "share", *BASELINES, "minutes")
            if all(found[name] is not None for found in runs)
        },
    }
    _show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", type=Path, metavar="WORLD")
    parser.add_argument("--recipe", default="ebnerd-nrms", help="a name, or a file")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/news_world"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.world / "oracle.parquet").is_file():
        parser.error(f"WORLD should hold an oracle.parquet. Received: {options.world}")
    return options


def oracle_auc(world: Path) -> dict[str, Any]:
    """Return the mean AUC of the true scores, and of how many impressions it is."""
    behaviors = pl.read_parquet(world / "validation" / "behaviors.parquet")
    truth = pl.read_parquet(world / "oracle.parquet")
    joined = behaviors.select(*KEYS, "article_ids_clicked").join(
        truth, on=KEYS[0], suffix="_scored", maintain_order="left"
    )
    same = (joined[KEYS[1]] == joined[f"{KEYS[1]}_scored"]).all()
    if len(joined) != len(behaviors) or not same:
        raise SystemExit(f"{world}: oracle.parquet is not of the impressions of validation.")
    entries = joined.select(
        pl.int_range(pl.len()).alias("row"),
        pl.col(KEYS[1]).alias("article"),
        pl.col("article_ids_clicked").alias("clicks"),
        "scores",
    ).explode("article", "scores")
    labels = entries.select(pl.col("article").is_in(pl.col("clicks")))["article"].to_numpy()
    scores = entries["scores"].to_numpy()
    lengths = joined[KEYS[1]].list.len().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return {
        "auc": impression_metrics(scores, labels, offsets)["auc"],
        "impressions": len(joined),
    }


def _run(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run the recipe, and return what it found of the test split."""
    changes = [f"source.path={options.world.resolve()}", f"runtime.seed={seed}", *options.set]
    start = time.perf_counter()
    steps = run(load_recipe(options.recipe, changes), options.out, Selection(last="evaluate"))
    minutes = (time.perf_counter() - start) / 60
    folders = {step.stage.name: Path(step.folder) for step in steps}
    found = json.loads((folders["evaluate"] / "metrics.json").read_text())
    history = json.loads((folders["train"] / "history.json").read_text())["history"]
    baselines = found["baselines"]
    return {
        "auc": found["metrics"]["auc"],
        "interval": found["intervals"].get("auc"),
        **{name: baselines.get(name, {}).get("auc") for name in BASELINES},
        "minutes": _minutes(folders["train"]),
        "epochs": len(history),
        "epoch_seconds": [record["seconds"] for record in history],
        "minutes_in_all": minutes,
        "load": os.getloadavg(),
    }


def _minutes(trained: Path) -> float:
    """Return what the stage took, validation and all, as its manifest has it."""
    return float(json.loads((trained / "manifest.json").read_text())["seconds"]) / 60


def _show(results: dict[str, Any]) -> None:
    table = Table(*("seed", "AUC", "share", "popularity", "recency", "epochs", "minutes"))
    for found in results["runs"]:
        table.add_row(
            str(found["seed"]),
            f"{found['auc']:.4f}",
            f"{found['share']:.1%}",
            *(
                f"{found[name]:.4f}" if found[name] is not None else ""
                for name in ("popularity", "recency")
            ),
            str(found["epochs"]),
            f"{found['minutes']:.1f}",
        )
    console, oracle, means = Console(width=120), results["oracle"], results["means"]
    console.print(table)
    console.print(f"oracle AUC: {oracle['auc']:.4f} of {oracle['impressions']:,} impressions")
    console.print(f"mean AUC: {means['auc']:.4f}, {means['share']:.1%} of the way from 0.5")


if __name__ == "__main__":
    main()
