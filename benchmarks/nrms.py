"""NRMS, ours and the plain recipe: training and evaluation speed, memory, and AUC.

    .venv/bin/python benchmarks/nrms.py [DATA] [--rows 2000] [--impressions 2000] [--repeat 3]
        [--auc] [--small] [--work runs/nrms] [--json runs/nrms.json]

DATA is a folder in EB-NeRD's layout; without it the `news` source makes one. The package's pipeline
processes it, once, to the published sizes, and both sides read what it wrote. The plain recipe is
`nrms_plain.py`. Every run is a separate process, one at a time, in turn: imports, building and
two warm-up batches are not counted, nor is a first evaluation. Ours encodes the whole catalogue
within each evaluation, and is timed at the plain one's batch size and at its own.

``--auc`` trains both on the same rows, batches and rate, with several seeds, and ranks the same
impressions. ``--small`` is a small network, on which the plain recipe gets there in minutes.
``--unmasked`` gives ours the plain one's network to the letter.
``--repeat 0`` leaves speed out. With ``--work``, a call that was cut off goes on where it was.
Ratios are of medians.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CASES = Path(__file__).parent / "parts" / "nrms_cases.py"
PUBLISHED = {
    "title_size": 30,
    "history_size": 20,
    "heads": 20,
    "head_dim": 20,
    "attention_dim": 200,
    "dense": [400, 400, 400],
    "dropout": 0.2,
    "word_dim": 300,
}
SMALL = PUBLISHED | {
    "title_size": 15,
    "history_size": 10,
    "heads": 4,
    "head_dim": 8,
    "attention_dim": 32,
    "dense": [],
    "word_dim": 50,
}
PLAIN_BATCH = 64
RATES = ("rows_per_second", "impressions_per_second")
GIB = 1 << 30


def main() -> None:
    options = _options()
    console = Console(width=120, stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        processed = _processed(options, work)
        run = _Runs(processed, work / "pieces", console)
        results: dict[str, Any] = {"machine": _machine(), "options": _plain_options(options)}
        if options.repeat:
            results["speed"] = _speed(run, options)
        if options.auc:
            results["auc"] = _auc(run, options)
    _show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, nargs="?", metavar="DATA")
    add("--rows", type=int, default=2000)
    add("--impressions", type=int, default=2000)
    add("--plain-rows", type=int, help="fewer for the plain recipe, whose rate is even")
    add("--plain-impressions", type=int)
    add("--repeat", type=int, default=3)
    add("--batch-size", type=int, default=512, help="of ours, beside the plain one's 64")
    add("--small", action="store_true", help="a small network, words and titles")
    add("--auc", action="store_true")
    add("--auc-rows", type=int, default=3000)
    add("--auc-epochs", type=int, default=2)
    add("--auc-impressions", type=int, default=500)
    add("--unmasked", action="store_true", help="ours with `masks: false`, as the plain one is")
    add("--auc-rate", type=float, help="default: 0.0001 as published, 0.001 if small")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--world-users", type=int, default=2000, help="of the world made without DATA")
    add("--world-articles", type=int, default=3000)
    add("--world-impressions", type=int, default=10_000)
    add("--work", type=Path, help="keeps processed data and finished runs")
    add("--json", type=Path)
    options = parser.parse_args()
    if options.data and not options.data.is_dir():
        parser.error(f"DATA should be a folder in EB-NeRD's layout. Received: {options.data}")
    return options


def _processed(options: argparse.Namespace, work: Path) -> Path:
    """Have the package's pipeline process the data, and return where."""
    from towermill.pipelines import Recipe, Selection, run

    sizes = SMALL if options.small else PUBLISHED
    source: dict[str, Any] = {"kind": "ebnerd", "path": str(options.data)}
    if options.data is None:
        source = {"kind": "news"} | {
            key: vars(options)[f"world_{key}"] for key in ("users", "articles", "impressions")
        }
    recipe = Recipe.model_validate(
        {
            "name": "nrms-small" if options.small else "nrms",
            "source": source,
            "split": {"kind": "given"},
            "features": {"history_size": sizes["history_size"]},
            "text": {"title_size": sizes["title_size"], "word_dim": sizes["word_dim"]},
            "model": {"kind": "nrms"},
        }
    )
    steps = run(recipe, work / "data", Selection(last="process"))
    return next(Path(step.folder) for step in steps if step.stage.name == "process")


class _Runs:
    """Runs cases, and keeps what they found in `folder`."""

    def __init__(self, processed: Path, folder: Path, console: Console) -> None:
        self.processed, self.folder, self.console = processed, folder, console
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, what: str, side: str, repeat: int, told: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(told, sort_keys=True)
        key = hashlib.sha256(f"{self.processed.name} {text}".encode()).hexdigest()[:12]
        kept = self.folder / f"{what}-{side}-{repeat}-{key}.json"
        if kept.is_file():
            return json.loads(kept.read_text())
        self.console.print(f"{what}, {side}, batches of {told['batch_size']}, {repeat}")
        load = os.getloadavg()
        command = [sys.executable, str(CASES), what, side, str(self.processed), text]
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            errors.seek(0)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()}")
        found = json.loads(done.stdout.splitlines()[-1])
        found |= {"side": side, "repeat": repeat, "batch_size": told["batch_size"], "load": load}
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=2))
        partial.rename(kept)
        return found


def _speed(run: Callable[..., dict], options: argparse.Namespace) -> dict[str, Any]:
    sizes = SMALL if options.small else PUBLISHED
    lines = [("plain", PLAIN_BATCH), ("ours", PLAIN_BATCH), ("ours", options.batch_size)]
    runs = []
    for repeat in range(options.repeat):
        for side, batch_size in dict.fromkeys(lines):
            own = {name: vars(options)[name] for name in ("rows", "impressions")}
            if side == "plain":
                own = {name: vars(options)[f"plain_{name}"] or own[name] for name in own}
            told = {"batch_size": batch_size, "seed": 0, "learning_rate": 1e-4, "sizes": sizes}
            runs.append(run("speed", side, repeat, told | own))
    medians = []
    for side, batch_size in dict.fromkeys(lines):
        own = [r for r in runs if (r["side"], r["batch_size"]) == (side, batch_size)]
        names = [name for name in own[0] if name.startswith(RATES) or "processor" in name]
        middle = {n: statistics.median(r[n] for r in own) for n in (*names, "peak_bytes")}
        medians.append({"side": side, "batch_size": batch_size} | middle)
    for row in medians:
        row["times_plain"] = {name: row[name] / medians[0][name] for name in names}
    return {"runs": runs, "medians": medians}


def _auc(run: Callable[..., dict], options: argparse.Namespace) -> dict[str, Any]:
    told = {
        "batch_size": PLAIN_BATCH,
        "rows": options.auc_rows,
        "epochs": options.auc_epochs,
        "impressions": options.auc_impressions,
        "learning_rate": options.auc_rate or (1e-3 if options.small else 1e-4),
        "sizes": SMALL if options.small else PUBLISHED,
        "masks": not options.unmasked,
    }
    runs = [
        run("auc", side, seed, told | {"seed": seed})
        for seed in options.seeds
        for side in ("plain", "ours")
    ]
    values = {s: [r["auc"] for r in runs if r["side"] == s] for s in ("plain", "ours")}
    means = {side: statistics.mean(found) for side, found in values.items()}
    differences = [o - p for o, p in zip(values["ours"], values["plain"], strict=True)]
    return {
        "runs": runs,
        "values": values,
        "means": means,
        "difference": means["ours"] - means["plain"],
        "standard_error": statistics.stdev(differences) / len(differences) ** 0.5
        if len(differences) > 1
        else None,
    }


def _machine() -> dict[str, Any]:
    from towermill.runtime.versions import versions

    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "packages": versions(),
    }


def _plain_options(options: argparse.Namespace) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}


def _show(results: dict[str, Any]) -> None:
    console = Console(width=130)
    if speed := results.get("speed"):
        table = Table(
            *("side", "batch", "rows/s", "× plain", "impressions/s", "× plain"),
            *("per processor s: rows", "impressions", "peak GiB"),
            title=f"medians of {results['options']['repeat']}; load {results['machine']['load']}",
        )
        for row in speed["medians"]:
            times = row["times_plain"]
            table.add_row(
                row["side"],
                str(row["batch_size"]),
                *(part for n in RATES for part in (f"{row[n]:.1f}", f"{times[n]:.1f}")),
                f"{row['rows_per_processor_second']:.1f}",
                f"{row['impressions_per_processor_second']:.1f}",
                f"{row['peak_bytes'] / GIB:.2f}",
            )
        console.print(table)
    if auc := results.get("auc"):
        for side, values in auc["values"].items():
            seeds = ", ".join(f"{value:.4f}" for value in values)
            console.print(f"AUC, {side}: {seeds}; mean {auc['means'][side]:.4f}")
        error = auc["standard_error"]
        within = f" ± {error:.4f}, standard error over seeds" if error is not None else ""
        console.print(f"ours less plain: {auc['difference']:+.4f}{within}")


if __name__ == "__main__":
    main()
