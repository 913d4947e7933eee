"""AUC and nDCG of impressions: ours at once, and scikit-learn's one impression after another.

    .venv/bin/python benchmarks/functions/impression_metrics.py [--impressions 10000] [--repeat 5]
        [--large 1000000] [--json runs/impression_metrics.json]

Impressions are made: 5 to 75 entries, one to three of them clicked, a quarter with scores that tie.
Ours computes MRR and hit rates besides. Prints medians, their ratio and the largest difference, and
exits with 1 if that is over 1e-9 or the ratio under 50. `--large` times ours alone on so many.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.metrics import ndcg_score, roc_auc_score

from towermill.models.metrics.impressions.ranking import per_impression

CUTS = (5, 10)
TIMES_FASTER, DIFFERENCE = 50, 1e-9


def main() -> None:
    options = _options()
    console = Console(width=120, stderr=True)
    data = _impressions(options.impressions, seed=0)
    seconds: dict[str, list[float]] = {"ours": [], "sklearn": []}
    for repeat in range(options.repeat):
        console.print(f"{repeat + 1} of {options.repeat}")
        taken, ours = _timed(lambda: per_impression(*data, k=CUTS))
        seconds["ours"].append(taken)
        taken, theirs = _timed(lambda: _sklearn(*data))
        seconds["sklearn"].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    results: dict[str, Any] = {
        "impressions": options.impressions,
        "entries": len(data[0]),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "seconds": seconds,
        "medians": medians,
        "times_faster": medians["sklearn"] / medians["ours"],
        "differences": {
            name: float(np.abs(ours[name] - values).max()) for name, values in theirs.items()
        },
    }
    if options.large:
        large = _impressions(options.large, seed=1)
        taken = [_timed(lambda: per_impression(*large, k=CUTS))[0] for _ in range(options.repeat)]
        results["large"] = {
            "impressions": options.large,
            "entries": len(large[0]),
            "seconds": statistics.median(taken),
        }
    _show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))
    worst = max(results["differences"].values())
    if not worst <= DIFFERENCE or results["times_faster"] < TIMES_FASTER:
        sys.exit(f"Not within {DIFFERENCE:g} at {TIMES_FASTER} times the speed.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impressions", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--large", type=int, default=1_000_000, help="0 leaves it out")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _impressions(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 76, number)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    row = np.repeat(np.arange(number), lengths)
    scores = rng.normal(size=len(row))
    coarse = (rng.random(number) < 0.25)[row]
    scores[coarse] = np.round(scores[coarse] * 2) / 2
    labels = np.zeros(len(row), bool)
    for chance in (1.0, 0.2, 0.05):  # a first click, a second, a third
        clicked = rng.random(number) < chance
        labels[(offsets[:-1] + rng.integers(0, lengths))[clicked]] = True
    return scores, labels, offsets


def _sklearn(scores: np.ndarray, labels: np.ndarray, offsets: np.ndarray) -> dict[str, np.ndarray]:
    rows = []
    for start, stop in itertools.pairwise(offsets):
        label, score = labels[start:stop], scores[start:stop]
        ndcg = [ndcg_score([label], [score], k=cut) for cut in CUTS]
        rows.append((roc_auc_score(label, score), *ndcg))
    names = ("auc", *(f"ndcg@{cut}" for cut in CUTS))
    return dict(zip(names, np.array(rows).T, strict=True))


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def _show(results: dict[str, Any]) -> None:
    console = Console(width=120)
    console.print(f"{results['impressions']:,} impressions, {results['entries']:,} entries")
    for name, seconds in results["medians"].items():
        console.print(f"{name}: {seconds:.4f} s")
    console.print(f"times faster: {results['times_faster']:.0f} (at least {TIMES_FASTER})")
    worst = max(results["differences"].values())
    console.print(f"largest difference: {worst:.1e} (at most {DIFFERENCE:g})")
    if large := results.get("large"):
        console.print(
            f"ours on {large['impressions']:,} impressions, {large['entries']:,} entries: "
            f"{large['seconds']:.2f} s"
        )


if __name__ == "__main__":
    main()
