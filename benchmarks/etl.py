"""Fit, encode and write: Towermill, stock NVTabular on the same stack, and Polars by hand.

    .venv/bin/python benchmarks/etl.py [--repeat 3] [--workloads encode filter lists] [--scale]
        [--engines ours stock polars] [--json runs/etl/etl.json]

The data is made once, under `--data`. Each run is a separate process, one at a time, on all cores
of the machine; imports are not counted, the file is in the page cache. Every engine's first
output is checked against the raw data. Prints a table and writes JSON; exits with 1 if an output is
wrong.

Workloads: ``encode`` writes all rows of 16 id columns and ``click``; ``filter`` fits on all and
writes the 4 % with a click; ``lists`` encodes a scalar and two list columns by one vocabulary;
``hashed`` is ``encode`` on ids that lie far apart. ``--scale`` runs ``encode`` on ten times the
rows as well, by ours alone unless ``--all``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from parts.etl_data import make_impressions, make_logs
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ENGINES = ("ours", "stock", "polars")
WORKLOADS = ("encode", "filter", "lists", "hashed")
PACKAGES = ("towermill", "nvtabular", "merlin-core", "dask", "pandas", "polars", "pyarrow", "numpy")
#: The ten-fold `encode`.
SCALE = "scale"
GIB = 1 << 30


def main() -> None:
    options = _options()
    console = Console(width=130, stderr=True)
    cases = list(options.workloads) + ([SCALE] if options.scale else [])
    files = {case: _data(case, options) for case in cases}
    engines = {
        case: options.engines if case != SCALE or options.all else ["ours"] for case in cases
    }
    runs: list[dict] = []
    checks: list[dict] = []
    for case, path in files.items():
        for repeat in range(options.repeat):
            turn = repeat % len(engines[case])
            for engine in engines[case][turn:] + engines[case][:turn]:
                folder = options.data / "output" / case / engine
                console.print(f"{case}, {engine}, {repeat + 1} of {options.repeat}")
                runs.append({"workload": case, "engine": engine} | _run(engine, case, path, folder))
            if repeat == 0:
                found = agreement(case, path, options.data / "output" / case, engines[case])
                checks += found
        shutil.rmtree(options.data / "output" / case)

    results = {
        "machine": machine(),
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
        "runs": runs,
        "agreement": checks,
        "medians": (medians := _medians(runs, checks)),
        "verdicts": _verdicts(medians),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2))
    _show(results)
    if any(check["errors"] for check in checks):
        sys.exit("Outputs are wrong: see `agreement`.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rows-lists", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS[:3])
    parser.add_argument(
        "--engines", nargs="+", choices=[*ENGINES, "stock-default"], default=list(ENGINES)
    )
    parser.add_argument("--scale", action="store_true", help="ten times --rows as well")
    parser.add_argument("--all", action="store_true", help="all engines on ten times the rows")
    parser.add_argument("--data", type=Path, default=Path("runs/etl"))
    parser.add_argument("--json", type=Path, default=Path("runs/etl/etl.json"))
    options = parser.parse_args()
    if options.scale and "encode" not in options.workloads:
        parser.error("`--scale` compares with the workload `encode`: name it, or no workloads.")
    return options


def _data(case: str, options: argparse.Namespace) -> Path:
    if case == "lists":
        return make_impressions(options.data, options.rows_lists)
    rows = options.rows * (10 if case == SCALE else 1)
    return make_logs(options.data, rows, hashed=case == "hashed")


def _run(engine: str, case: str, path: Path, folder: Path) -> dict:
    shutil.rmtree(folder, ignore_errors=True)
    _read(path)
    return run_script("etl_cases.py", engine, case, path, folder)


def agreement(case: str, path: Path, outputs: Path, engines: list[str]) -> list[dict]:
    """Return what `etl_agree.py` says of each engine's output."""
    found = []
    for engine in engines:
        reference = [outputs / "stock" / "output"] if "stock" in engines else []
        checked = run_script("etl_agree.py", case, path, outputs / engine / "output", *reference)
        found.append({"workload": case, "engine": engine} | checked)
    return found


def run_script(script: str, *arguments: object) -> dict:
    """Run a script that ends with a line of JSON."""
    command = [sys.executable, str(HERE / "parts" / script), *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        errors.seek(0)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()}")
    return json.loads(done.stdout.splitlines()[-1])


def _read(path: Path) -> None:
    """Read the file into the page cache, so that the first engine has it there too."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def machine() -> dict:
    """Return what the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "load": os.getloadavg(),
    }


def _medians(runs: list[dict], checks: list[dict]) -> list[dict]:
    """Return a row a workload and engine; `of_ours` is its time as a multiple of ours."""
    rows = []
    for check in checks:
        mine = {key: check[key] for key in ("workload", "engine")}
        own = [run for run in runs if mine.items() <= run.items()]
        middle = {
            key: statistics.median(run[key] for run in own)
            for key in ("fit", "write", "total", "processor", "peak")
        }
        rows.append(mine | middle | {key: check[key] for key in ("rows", "same", "errors")})
    for row in rows:
        ours = _find(rows, row["workload"], "ours")
        row["of_ours"] = row["total"] / ours["total"] if ours else None
    return rows


def _find(medians: list[dict], workload: str, engine: str) -> dict | None:
    found = (r for r in medians if (r["workload"], r["engine"]) == (workload, engine))
    return next(found, None)


def _verdicts(medians: list[dict]) -> list[dict]:
    """Return each must-show of which both sides were measured."""
    verdicts: list[dict] = []

    def hold(what: str, value: float, at_least: float | None = None, below: float = 0) -> None:
        met = value >= at_least if at_least is not None else value <= below
        limit = f"at least {at_least:g}" if at_least is not None else f"at most {below:g}"
        verdicts.append({"what": what, "value": value, "limit": limit, "met": met})

    for workload in WORKLOADS:
        ours, stock, polars = (_find(medians, workload, engine) for engine in ENGINES)
        if ours and stock:
            hold(f"{workload}: times faster than stock", stock["of_ours"], at_least=8)
        if ours and polars and workload != "lists":
            hold(f"{workload}: times Polars' time", 1 / polars["of_ours"], below=2)
    small, large = _find(medians, "encode", "ours"), _find(medians, SCALE, "ours")
    if small and large:
        rate = (large["rows"] / large["total"]) / (small["rows"] / small["total"])
        hold("ten times the rows: rate per row, of the small run's", rate, at_least=0.7)
        hold("ten times the rows: peak memory", large["peak"] / small["peak"], below=1.5)
        hold("ten times the rows: peak memory, GiB", large["peak"] / GIB, below=6)
    return verdicts


def _show(results: dict) -> None:
    host = results["machine"]
    title = f"{host['cores']} cores, {host['memory_gib']} GiB; medians of {{}} runs"
    table = Table(
        *("workload", "engine", "fit s", "write s", "total s", "of ours", "processor s"),
        *("peak GiB", "rows written", "ids as stock's", "right"),
        title=title.format(results["options"]["repeat"]),
    )
    for row in results["medians"]:
        table.add_row(
            row["workload"],
            row["engine"],
            *(f"{row[key]:.2f}" for key in ("fit", "write", "total")),
            f"{row['of_ours']:.2f}" if row["of_ours"] else "",
            f"{row['processor']:.1f}",
            f"{row['peak'] / GIB:.2f}",
            f"{row['rows']:,}",
            f"{row['same']:.1%}" if row["same"] is not None else "",
            "\n".join(row["errors"]) or "yes",
        )
    console = Console(width=150)
    console.print(table)
    for verdict in results["verdicts"]:
        console.print(
            f"{verdict['what']}: {verdict['value']:.2f} ({verdict['limit']}): "
            f"{'met' if verdict['met'] else 'NOT MET'}"
        )


if __name__ == "__main__":
    main()
