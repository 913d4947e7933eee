"""Towermill and other libraries on the same splits, lists and metric: the page docs/peers.md.

    .venv/bin/python benchmarks/peers.py [--splits random leave_one_out] [--systems NAME ...]
        [--seeds 0 1 2] [--ml-100k PATH] [--ml-1m PATH] [--work runs/peers] [--page docs/peers.md]
        [--report]

`process` makes each split once, written as Parquet of user, item and timestamp. Each library gets
an environment of its own under ``--work``; one that cannot be installed is reported and left out.
A script of ``parts/peers/fits`` fits one setting and writes lists of 100 items for validation
and test. The setting with the best validation nDCG@10 of seed 0 is fitted with the other seeds.
All lists are evaluated by `towermill.models.metrics`. Finished fits are not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from parts.peers.page import write_page
from parts.peers.systems import ENVIRONMENTS, SPLITS, SYSTEMS, System

from towermill.models.data.lists import Lists, TopK
from towermill.models.metrics.catalogue.ranking import per_query, ranking_metrics
from towermill.pipelines import Selection, run, validate_recipe
from towermill.progress import progress
from towermill.runtime.device import quiet_tensorflow

SCRIPTS = Path(__file__).parent / "parts" / "peers" / "fits"
K = 10
#: One thread for each library, so that processor seconds can be compared.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
logger = logging.getLogger("peers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", nargs="+", default=["random", "leave_one_out"], choices=SPLITS)
    parser.add_argument("--systems", nargs="+", help="names of docs/peers.md; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ml-100k", type=Path, help="its folder; default: the installed copy")
    parser.add_argument("--ml-1m", type=Path, help="its folder; adds a random split of it")
    parser.add_argument("--work", type=Path, default=Path("runs/peers"))
    parser.add_argument("--page", type=Path, default=Path("docs/peers.md"))
    parser.add_argument("--report", action="store_true", help="fit nothing; write what is finished")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quiet_tensorflow()

    splits = {name: (options.ml_100k, SPLITS[name]) for name in options.splits}
    if options.ml_1m:
        splits["random-1m"] = (options.ml_1m, SPLITS["random"])
    results = []
    for split, (path, section) in splits.items():
        data = make_split(options.work / split, path, section)
        wanted = [
            system
            for system in SYSTEMS
            if system.suits(split) and (not options.systems or system.name in options.systems)
        ]
        for system in wanted:
            found = compare(system, data, options.work, options.seeds, not options.report)
            results.extend([] if found is None else [{"split": split, **found}])
    if not results:
        parser.error("nothing to compare: see the names in --systems, and the warnings above")
    (options.work / "results.json").write_text(json.dumps(results, indent=2))
    shown = {row["system"] for row in results}
    used = dict.fromkeys(system.environment for system in SYSTEMS if system.name in shown)
    write_page(results, options.page, {name: ENVIRONMENTS[name] for name in used if name})


def make_split(data: Path, path: Path | None, split: dict[str, Any]) -> Path:
    """Write ``train``, ``validation`` and ``test.parquet`` by the stage `process`, once."""
    source = {"kind": "movielens"} | ({"path": str(path.resolve())} if path else {})
    told = {"source": source, "split": split}
    if (data / "split.json").is_file() and json.loads((data / "split.json").read_text()) == told:
        return data
    shutil.rmtree(data / "fits", ignore_errors=True)  # of another split
    recipe = {"name": "split", "features": {"user": {}, "item": {"title": "title"}}, **told}
    steps = run(validate_recipe(recipe), data / "runs", Selection(last="process"))
    processed = next(step.folder for step in steps if step.stage.name == "process")
    raw = pl.read_parquet(steps[0].folder / "interactions.parquet").select(
        pl.col("user_id").alias("raw_user_id"),
        pl.col("item_id").alias("raw_item_id"),
        pl.col("timestamp").dt.epoch("s"),
    )
    users, items = (pl.read_parquet(processed / f"{name}.parquet") for name in ("users", "items"))
    for name in ("train", "validation", "test"):
        rows = pl.read_parquet(processed / name / "*.parquet").select("user_id", "item_id")
        rows = rows.join(users, on="user_id").join(items, on="item_id")
        rows = rows.select("raw_user_id", "raw_item_id").join(
            raw, on=["raw_user_id", "raw_item_id"], how="left"
        )
        rows = rows.rename({"raw_user_id": "user", "raw_item_id": "item"})
        rows.write_parquet(data / f"{name}.parquet")
    (data / "split.json").write_text(json.dumps(told))
    return data


def compare(
    system: System, data: Path, work: Path, seeds: list[int], fits: bool = True
) -> dict[str, Any] | None:
    """Tune the system on validation, fit the best setting with each seed, and return its row."""
    python = environment(system.environment, work) if fits else None
    if fits and python is None:
        return None
    with progress() as bars:
        bar = bars.add_task(system.name, total=len(system.settings))
        tried = []
        for setting in system.settings:
            folder = fit(system, setting, seeds[0], data, python)
            if folder is not None:
                tried.append((evaluate(folder, data, "validation")[f"ndcg@{K}"], setting))
            bars.advance(bar)
    if not tried:
        return None
    validation, setting = max(tried, key=lambda pair: pair[0])
    runs = []
    for seed in seeds if system.random else seeds[:1]:
        folder = fit(system, setting, seed, data, python)
        if folder is not None:
            seconds = json.loads((folder / "fit.json").read_text())["seconds"]
            runs.append(evaluate(folder, data, "test") | {"seed": seed, "seconds": seconds})
    logger.info("%s %s: %s", data.name, system.name, [round(r[f"ndcg@{K}"], 4) for r in runs])
    return {
        "system": system.name,
        "lines": system.lines(SCRIPTS),
        "history": system.history,
        "random": system.random,
        "setting": setting,
        "validation": validation,
        "tried": [[value, told] for value, told in tried],
        "runs": runs,
    }


def environment(name: str | None, work: Path) -> Path | None:
    """Return the Python of the environment `name`, made if needed; None if it cannot be."""
    if name is None:
        return Path(sys.executable)
    folder = (work / "envs" / name).absolute()
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "".join(f"{requirement}\n" for requirement in ENVIRONMENTS[name])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    logger.info("installing the environment %s", name)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    command = [python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        logger.warning("%s cannot be installed, left out: %s", name, done.stderr.strip()[-500:])
        return None
    stamp.write_text(wanted)
    return python


def fit(
    system: System, setting: dict[str, Any], seed: int, data: Path, python: Path | None
) -> Path | None:
    """Fit in a separate process and return the folder with its lists; None if it fails.

    Without `python` nothing is fitted, and an unfinished fit is None.
    """
    told = json.dumps(setting, sort_keys=True)
    code = (SCRIPTS / system.script).read_text() + system.recipe_text(SCRIPTS)
    key = hashlib.sha256(f"{code} {told}".encode()).hexdigest()[:8]
    folder = data / "fits" / f"{system.name.replace(' ', '-')}-{key}-{seed}"
    if (folder / "fit.json").is_file():
        return folder
    if python is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    threads = dict.fromkeys(THREADS, "1")
    threads["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    inputs = data.resolve(), folder.resolve()
    done = subprocess.run(
        [python, SCRIPTS / system.script, *inputs, "--setting", told, "--seed", str(seed)],
        cwd=folder,  # some libraries write logs where they are
        env={**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "log").write_text(done.stdout + done.stderr)
    if done.returncode:
        logger.warning("%s %s failed: %s", system.name, told, done.stderr.strip()[-500:])
        return None
    return folder


def evaluate(folder: Path, data: Path, split: str) -> dict[str, Any]:
    """Return the metrics of the lists in ``<split>.parquet``: see `measure`."""
    earlier = ["train"] if split == "validation" else ["train", "validation"]
    history = pl.concat([pl.read_parquet(data / f"{name}.parquet") for name in earlier])
    lists, held = (pl.read_parquet(at / f"{split}.parquet") for at in (folder, data))
    train = pl.read_parquet(data / "train.parquet")
    return measure(lists, held, train, history)


def measure(
    lists: pl.DataFrame, held: pl.DataFrame, train: pl.DataFrame, history: pl.DataFrame
) -> dict[str, Any]:
    """Return nDCG@10, recall@10 and coverage@10 of ranked lists.

    Parameters
    ----------
    lists
        ``user``, ``item`` and ``rank`` from 1. An item of the history is refused.
    held
        ``user`` and ``item``: the answers. Those whose user or item has no row in `train`, and
        those in the history, count nowhere.
    train, history
        ``user`` and ``item``: what defines the catalogue, and what a query may know.

    Raises
    ------
    ValueError
        The lists hold an item of the user's history, or one outside the catalogue.
    """
    items = train["item"].unique().sort().to_numpy()
    pair = ["user", "item"]
    answers = held.select(pair).join(history, on=pair, how="anti")
    answers = answers.join(train, on="user", how="semi").join(train, on="item", how="semi")
    users = answers["user"].unique().sort().to_numpy()
    shown = lists.filter(pl.col("user").is_in(users.tolist()) & (pl.col("rank") <= K))
    if not shown["item"].is_in(items.tolist()).all():
        raise ValueError("The lists should hold items of the training split only.")
    if shown.join(history, on=pair, how="semi").height:
        raise ValueError("The lists should not hold items that their user has in the history.")
    positions = np.full((len(users), K), -1, np.int32)
    at = users.searchsorted(shown["user"].to_numpy()), shown["rank"].to_numpy() - 1
    positions[at] = items.searchsorted(shown["item"].to_numpy())
    top = TopK(positions, np.zeros(positions.shape, np.float32))
    relevant = Lists.from_pairs(
        users.searchsorted(answers["user"].to_numpy()),
        items.searchsorted(answers["item"].to_numpy()),
        len(users),
    )
    found = ranking_metrics(top, relevant, [K], None, len(items))
    known = history.filter(pl.col("user").is_in(users.tolist())).group_by("user").len()
    short = np.isin(users, known.filter(pl.col("len") <= 1)["user"].to_numpy())
    result = {name: found[f"{name}@{K}"] for name in ("ndcg", "recall", "coverage")}
    result = {f"{name}@{K}": value for name, value in result.items()}
    result |= {"users": len(users), "short": int(short.sum())}
    if short.any():
        ndcg = per_query(top, relevant, [K], None, len(items))[f"ndcg@{K}"]
        result[f"short ndcg@{K}"] = float(ndcg[short].mean())
    return result


if __name__ == "__main__":
    main()
