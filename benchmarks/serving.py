"""Serving: nearest items by HNSW, exact search, NumPy and faiss; the reader; the server.

    .venv/bin/python benchmarks/serving.py [--items 1000000] [--dim 64] [--queries 500] [--runs 5]
        [--expansion-search 650] [--libraries usearch faiss] [--rate 500]
        [--work runs/serving] [--json runs/serving.json]

The catalogue is made into a bundle with the first library's HNSW; `Bundle.recommend` is asked for
each of its users, and a server of it, on loopback, for `--rate` recommendations a second
(`serving_load.py`). Each figure is the median over runs, which take turns. Single queries are asked
one at a time by one thread; a batch is 64 of them. NumPy's bound is its matrix product alone.
``over bound`` is a batch's or a query's time by that of the product. Recall is of the 100 nearest.
With ``--work``, indexes that were built are kept, and not built again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parts.serving_bundle import make_bundle, measure_reader, measure_server
from parts.serving_cases import catalogue
from rich.console import Console
from rich.table import Table

from towermill.pipelines.bundle.records import from_json
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search.description import PublishedIndex
from towermill.pipelines.search.store import open_index, write_index

_K, _BATCH = 100, 64

Search = Callable[[NDArray], NDArray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--expansion-search", type=int, default=650)
    parser.add_argument("--libraries", nargs="+", default=["usearch", "faiss"], help="of HNSW")
    parser.add_argument("--rate", type=float, default=500.0, help="of requests to the server")
    parser.add_argument("--work", type=Path, help="keeps what was built")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(options, options.work or Path(scratch))
    _show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2))


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return the figures of each way to search, and of each index that was built."""
    vectors, queries = catalogue(options.items, options.dim, options.queries)
    built, searches = {}, _plain(vectors)
    for library in (None, *options.libraries):
        name = f"hnsw {library}" if library else "exact"
        folder = work / name.replace(" ", "-")
        told = _built(vectors, queries, folder, library, options.expansion_search)
        built[name] = _opened(folder, told)
        index = open_index(folder, told["index"], verify=False)
        searches[name] = lambda asked, index=index: index.search(asked, _K)[0]
    truth = searches["exact"](queries)
    figures = {
        name: {"recall": _recall(search, queries, truth)} if name != "numpy product" else {}
        for name, search in searches.items()
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in searches}
    for _ in range(options.runs):
        for name, search in searches.items():
            runs[name].append(_timed(search, queries))
    for name, found in runs.items():
        figures[name] |= {key: statistics.median(run[key] for run in found) for key in found[0]}
    bound = figures["numpy product"]
    for found in figures.values():
        found["over_bound_single"] = found["p50_ms"] / bound["p50_ms"]
        found["over_bound_batch"] = bound["batch_per_s"] / found["batch_per_s"]
    told = {key: str(value) for key, value in vars(options).items()}
    bundle = work / "bundle"
    if not bundle.is_dir():
        folder = work / f"hnsw-{options.libraries[0]}"
        index = _built(vectors, queries, folder, options.libraries[0], options.expansion_search)
        make_bundle(bundle, vectors, queries, folder, index["index"])
    return {
        "options": told,
        "built": built,
        "searches": figures,
        "reader": measure_reader(bundle, options.runs),
        "server": measure_server(bundle, options.rate, options.runs),
    }


def _plain(vectors: NDArray) -> dict[str, Search]:
    """Return what does not come from Towermill: NumPy, and faiss if it is installed."""

    def best(queries: NDArray) -> NDArray:
        products = queries @ vectors.T
        rows = np.argpartition(-products, _K, axis=1)[:, :_K]
        order = np.argsort(-np.take_along_axis(products, rows, 1), axis=1)
        return np.take_along_axis(rows, order, 1)

    import faiss

    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return {
        "numpy product": lambda queries: queries @ vectors.T,
        "numpy": best,
        "faiss flat": lambda queries: flat.search(queries, _K)[1],
    }


def _built(
    vectors: NDArray, queries: NDArray, folder: Path, library: str | None, expansion: int
) -> dict[str, Any]:
    """Return what `write_index` told and how long it took, the measuring of recall with it."""
    told = folder / "built.json"
    if not told.is_file():
        content = {"kind": "hnsw", "library": library} if library else {"kind": "exact"}
        config = IndexConfig.model_validate(content | {"min_recall": 0})
        started = time.perf_counter()
        index = write_index(vectors, folder, config, "inner_product", queries[:100])
        seconds = time.perf_counter() - started
        told.write_text(json.dumps({"index": asdict(index), "seconds": seconds}))
    found: dict[str, Any] = json.loads(told.read_text())
    if library:
        found["index"]["parameters"]["expansion_search"] = expansion
    return {**found, "index": from_json(PublishedIndex, found["index"])}


def _opened(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    seconds = {}
    for verify in (True, False):
        times = []
        for _ in range(3):
            started = time.perf_counter()
            open_index(folder, told["index"], verify)
            times.append(time.perf_counter() - started)
        seconds["open_verified_s" if verify else "open_s"] = statistics.median(times)
    size = sum(file.bytes for file in told["index"].files.values()) / 2**20
    parameters = told["index"].parameters
    return {"build_s": told["seconds"], **seconds, "mib": size, "parameters": parameters}


def _recall(search: Search, queries: NDArray, truth: NDArray) -> float:
    rows = np.concatenate([search(queries[i : i + _BATCH]) for i in range(0, len(queries), _BATCH)])
    return float(np.mean([np.isin(t, r).mean() for t, r in zip(truth, rows, strict=True)]))


def _timed(search: Search, queries: NDArray) -> dict[str, float]:
    """Return milliseconds of single queries, and queries a second of batches.

    Of a slow search fewer are asked: two seconds of them, and 20 at least.
    """
    times: list[float] = []
    for query in queries:
        started = time.perf_counter()
        search(query[None])
        times.append(1000 * (time.perf_counter() - started))
        if len(times) >= 20 and sum(times) > 2000:
            break
    batches = []
    for start in range(0, min(len(queries) - _BATCH, 4 * _BATCH) + 1, _BATCH):
        started = time.perf_counter()
        search(queries[start : start + _BATCH])
        batches.append(time.perf_counter() - started)
    p50, p99 = np.percentile(times, [50, 99])
    rate = _BATCH / statistics.median(batches)
    return {"p50_ms": float(p50), "p99_ms": float(p99), "batch_per_s": rate}


def _show(results: dict[str, Any]) -> None:
    console = Console(width=120)
    table = Table("search", "recall@100", "p50 ms", "p99 ms", "over bound", "batch/s", "over bound")
    for name, found in results["searches"].items():
        recall = f"{found['recall']:.4f}" if "recall" in found else ""
        times = [f"{found[key]:.2f}" for key in ("p50_ms", "p99_ms", "over_bound_single")]
        table.add_row(
            name, recall, *times, f"{found['batch_per_s']:.0f}", f"{found['over_bound_batch']:.2f}"
        )
    console.print(table)
    table = Table("index", "built s", "opened s", "and verified s", "MiB", "parameters")
    for name, found in results["built"].items():
        numbers = [f"{found[k]:.2f}" for k in ("build_s", "open_s", "open_verified_s", "mib")]
        parameters = ", ".join(f"{k} {v}" for k, v in found["parameters"].items())
        table.add_row(name, *numbers, parameters)
    console.print(table)
    for name in ("reader", "server"):
        said = ", ".join(f"{key} {_short(value)}" for key, value in results[name].items())
        console.print(f"{name}: {said}")


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
