"""The simulator over several worlds: scores of all policies with intervals, and speed.

    .venv/bin/python benchmarks/slates.py [--seeds 0 1 2 3 4] [--items 10000] [--shown 100]
        [--set K=V …] [--work runs/slates] [--json runs/slates.json]

Each seed is another world (articles, readers, log), another FunkSVD trained on its log, and other
chances in the simulation: `towermill simulate slates-hybrid` in a separate process. 95 % intervals
are Student's over the worlds, of each policy and of its difference to the frozen model in the
same world. With ``--work``, an interrupted call resumes where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--shown", type=int, default=100, help="slates a reader in the log")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="changes")
    parser.add_argument("--work", type=Path, help="keeps finished runs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        worlds = [_world(seed, options, work) for seed in options.seeds]
    results = {"options": {k: str(v) for k, v in vars(options).items()}, "worlds": worlds}
    results["policies"] = _summary(worlds)
    _show(results["policies"])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))


def _world(seed: int, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Train on and simulate one world, and return what the command prints."""
    changes = [
        *(f"source.seed={seed}", f"runtime.seed={seed}"),
        *(f"source.items={options.items}", f"source.shown={options.shown}"),
        *options.changes,
    ]
    arguments = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "towermill.cli.app", "simulate", "slates-hybrid"]
    command += ["--seeds", str(seed), "--out", str(work), "--json", *arguments]
    started = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    seconds = time.monotonic() - started
    Console(stderr=True).print(f"world {seed}: {seconds:.0f} s")
    return found | {"world": seed, "seconds": round(seconds, 1)}


def _summary(worlds: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    names = list(worlds[0]["policies"])
    figures = {name: [world["policies"][name] for world in worlds] for name in names}
    scores = {name: np.array([f["score"] for f in figures[name]]) for name in names}
    return {
        name: {
            "score": _interval(scores[name]),
            "over_model": _interval(scores[name] - scores["model"]) if "model" in names else None,
            "by_world": scores[name].tolist(),
        }
        | {
            key: float(np.mean([f[key] for f in figures[name]]))
            for key in ("steps", "clicks", "steps_per_second")
        }
        for name in names
    }


def _interval(values: Any) -> dict[str, float]:
    """Return the mean and the ends of its interval of 95 %, NaN for one value."""
    mean, count = float(np.mean(values)), len(values)
    half = np.nan
    if count > 1:
        half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _show(policies: dict[str, dict[str, Any]]) -> None:
    table = Table("policy", "score ×1000", "over model ×1000", "slates", "clicks", "slates/s")
    for name, figures in policies.items():
        spans = [
            f"{s['mean'] * 1000:.3f} [{s['low'] * 1000:.3f}, {s['high'] * 1000:.3f}]" if s else ""
            for s in (figures["score"], figures["over_model"])
        ]
        numbers = [f"{figures[k]:.0f}" for k in ("steps", "clicks", "steps_per_second")]
        table.add_row(name, *spans, *numbers)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
