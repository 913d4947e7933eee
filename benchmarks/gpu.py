"""What a GPU gives: features, training, evaluation and export on it and on the CPU beside it.

    .venv/bin/python benchmarks/gpu.py [--rows 5000000] [--repeat 3] [--tiny] [--data runs/gpu]
        [--json runs/gpu/gpu.json] [--report docs/results-gpu.md]

No network, no data: all is generated. Legs: ``etl`` fits, encodes and writes by ours on cuDF,
stock NVTabular on cuDF, ours on the CPU, and Polars, every output held against the raw data;
``two_tower`` and ``nrms`` run a recipe's five stages on either device, with samples a second, the
GPU's use and its memory. Each is a process of its own, one at a time; one that fails is told of,
and the rest goes on. Prints tables and writes JSON; with a GPU also the report, which bears its
name. Without one, what needs it is left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from etl import agreement, machine, run_script
from parts.etl_data import make_logs
from rich.console import Console
from rich.table import Table

from towermill.runtime.gpu import driver, gpus, missing_for_gpu

GIB = 1 << 30
#: Name in the tables to the engine of `etl_cases.py` and its device.
ETL = {
    "ours, cuDF": ("ours", "gpu"),
    "stock NVTabular, cuDF": ("stock", "gpu"),
    "ours, CPU": ("ours", "cpu"),
    "Polars": ("polars", "cpu"),
}
FAST = ["train.mixed_precision=bfloat16"]
#: Leg to its recipe, and what is changed of it.
RECIPES: dict[str, tuple[str, list[str]]] = {
    "two_tower": (
        "synthetic-retail",
        ["source.users=500000", "source.items=100000", "source.interactions=10000000"],
    ),
    "nrms": (
        "news-demo",
        ["source.users=50000", "source.articles=20000", "source.impressions=400000"],
    ),
}
MODELS = {"two_tower": ["train.epochs=3", "train.batch_size=65536"], "nrms": ["train.epochs=3"]}
TINY = {
    "two_tower": ["source.users=300", "source.items=80", "source.interactions=6000"],
    "nrms": ["source.users=60", "source.articles=200", "source.impressions=300"],
}


def main() -> None:
    options = _options()
    console = Console(width=130, stderr=True)
    missing = missing_for_gpu()
    devices = ["cpu"] if missing else ["gpu", "cpu"]
    if missing:
        console.print(f"No leg runs on a GPU: {missing}")
    results: dict[str, Any] = {
        "machine": machine(),
        "GPU": None if missing else gpus()[0].name,
        "driver": driver(),
        "left_out": missing,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
        "etl": _etl(options, devices, console),
        "recipes": [row for leg in RECIPES for row in _recipe(leg, options, devices, console)],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2))
    _show(results)
    if not missing:
        options.report.write_text(report(results))
    if any(row.get("failed") or row.get("errors") for row in results["etl"] + results["recipes"]):
        sys.exit("A leg failed, or its output is wrong: see the JSON.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="so little that it only shows it runs")
    parser.add_argument("--data", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--json", type=Path, default=Path("runs/gpu/gpu.json"))
    parser.add_argument("--report", type=Path, default=Path("docs/results-gpu.md"))
    options = parser.parse_args()
    if options.tiny:
        options.rows, options.repeat = 5000, 1
    return options


def _etl(options: argparse.Namespace, devices: list[str], console: Console) -> list[dict]:
    path = make_logs(options.data, options.rows)
    rows = []
    for name, (engine, device) in ETL.items():
        if device not in devices:
            continue
        outputs = options.data / "etl" / device
        runs: list[dict[str, Any]] = []
        row: dict[str, Any] = {"leg": "etl", "what": name, "device": device}
        try:
            with _device(device):
                for repeat in range(options.repeat):
                    console.print(f"etl, {name}, {repeat + 1} of {options.repeat}")
                    shutil.rmtree(outputs / engine, ignore_errors=True)
                    runs.append(
                        run_script("etl_cases.py", engine, "encode", path, outputs / engine)
                    )
                row |= agreement("encode", path, outputs, [engine])[0]
        except SystemExit as error:
            rows.append(row | {"failed": str(error)})
            continue
        keys = ("fit", "write", "total", "processor", "peak")
        row |= {key: statistics.median(run[key] for run in runs) for key in keys}
        rows.append(row | {"rows_per_second": options.rows / row["total"]})
    return rows


def _recipe(
    leg: str, options: argparse.Namespace, devices: list[str], console: Console
) -> list[dict]:
    recipe, size = RECIPES[leg]
    changes = [*(TINY[leg] if options.tiny else size), *MODELS[leg]]
    if options.tiny:
        changes.append("train.batch_size=128")
    ways = [(device, way) for device in devices for way in ([], FAST) if device == "gpu" or not way]
    rows = []
    for device, way in ways:
        what = ", ".join([device, *(w.partition("=")[2] for w in way)])
        console.print(f"{leg}, {what}")
        row: dict[str, Any] = {"leg": leg, "what": what, "device": device}
        out = options.data / f"{leg}-{what.replace(', ', '-')}"
        shutil.rmtree(out, ignore_errors=True)
        try:
            with _device(device):
                told = json.dumps([*changes, *way])
                stages = run_script("gpu_cases.py", recipe, device, out, told)
        except SystemExit as error:
            rows.append(row | {"failed": str(error)})
            continue
        rows.append(row | {"stages": stages})
    return rows


@contextmanager
def _device(device: str) -> Iterator[None]:
    """Hide the GPUs from the processes that are started in the block, if it is the CPU's."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


ETL_HEAD = ("engine", "fit s", "write s", "total s", "M rows/s", "right")
RECIPE_HEAD = (
    *("model", "on", "process s", "samples/s", "GPU's use", "GPU GiB", "evaluate s"),
    *("queries", "export s"),
)


def tables(results: dict[str, Any]) -> list[tuple[tuple[str, ...], list[list[str]]]]:
    """Return heads and rows of both tables, as text."""
    etl = []
    for row in results["etl"]:
        if "failed" in row:
            etl.append([row["what"], *["–"] * 4, "failed"])
            continue
        times = [f"{row[key]:.2f}" for key in ("fit", "write", "total")]
        right = "; ".join(row["errors"]) or "yes"
        etl.append([row["what"], *times, f"{row['rows_per_second'] / 1e6:.2f}", right])
    recipes = []
    for row in results["recipes"]:
        if "failed" in row:
            recipes.append([row["leg"], row["what"], "failed", *["–"] * 6])
            continue
        stages = row["stages"]
        train, evaluate = stages["train"], stages["evaluate"]
        used = train.get("utilisation"), train.get("gpu_bytes")
        recipes.append(
            [
                row["leg"],
                row["what"],
                f"{stages['process']['seconds']:.1f}",
                f"{train['samples_per_second']:,.0f}",
                "–" if used[0] is None else f"{used[0]:.0f} %",
                "–" if used[1] is None else f"{used[1] / GIB:.1f}",
                f"{evaluate['seconds']:.1f}",
                f"{evaluate.get('queries', 0):,}",
                f"{stages['export']['seconds']:.1f}",
            ]
        )
    return [(ETL_HEAD, etl), (RECIPE_HEAD, recipes)]


def _show(results: dict[str, Any]) -> None:
    console = Console(width=150)
    for head, rows in tables(results):
        table = Table(*head, title=results["GPU"] or "no GPU")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def report(results: dict[str, Any]) -> str:
    """Return the page of what was measured, with the GPU's name."""
    host, options = results["machine"], results["options"]
    lines = [
        f"# What was measured on {results['GPU']}",
        "",
        f"`benchmarks/gpu.py`, {host['at']}: driver {results['driver']}, {host['cores']} cores, "
        f"{host['memory_gib']} GiB, Python {host['python']}. Each leg a process of its own, one at "
        "a time; generated data. Figures of other machines are in [results.md](results.md).",
        "",
        f"Features: {int(options['rows']):,} rows of 16 id columns, fitted, encoded and written; "
        f"medians of {options['repeat']}.",
        "",
    ]
    for number, (head, rows) in enumerate(tables(results)):
        if number:
            lines += [
                "",
                "Recipes, stage by stage. The first epoch, which compiles, is left out.",
                "",
            ]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
