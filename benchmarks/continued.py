"""Compare continued training with retraining, after new items and users arrive.

A quarter of a data set's rows, drawn at random, comes late. A sixth of the items (20 % of those
before) and a twentieth of the users come with it: their other rows are left out. A recipe is
trained on what came before, that run is continued on what came late, and the recipe is retrained
on both. Three tenths of the late rows are in none of it: all are evaluated on these, by full
ranking, seen items left out.

    .venv/bin/python benchmarks/continued.py [--data movielens] [--seeds 0 1] [--replay 0 1]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from towermill.columns import FIRST_ID, ITEM_ID, RAW_PREFIX, SPLIT, USER_ID
from towermill.pipelines import Recipe, Selection, load_recipe, run, validate_recipe
from towermill.pipelines.recipe.sections import ContinueConfig
from towermill.processed import ProcessedFolder, Stats
from towermill.runtime.device import quiet_tensorflow
from towermill.workflows.tables import Tables

#: Data to its recipe, and what is changed of it.
RECIPES = {"movielens": "demo", "synthetic": "synthetic-retail"}
CHANGES = {
    "movielens": [],
    "synthetic": [
        *("source.users=2000", "source.items=1000", "source.interactions=200000"),
        *("train.epochs=20", "train.batch_size=0"),
    ],
}
NEW_ITEMS, NEW_USERS = 1 / 6, 1 / 20
#: Shares of the rows that come late, of the late ones that are asked for, and of all others that
#: validate.
LATE, HELD_OUT, VALIDATION = 0.25, 0.3, 0.1
K = 10


@dataclass(frozen=True)
class World:
    """The rows of each part, and those to evaluate on.

    Attributes
    ----------
    source
        Part to the recipe's `source` section.
    answers
        ``user_id``, ``item_id``, raw.
    met
        The pairs of all other rows, late ones too: they are left out of every run's ranking.
    new_items, new_users
        Raw ids that only the new part has.
    rows
        Part to its training rows.
    """

    source: dict[str, dict[str, Any]]
    answers: pl.DataFrame
    met: pl.DataFrame
    new_items: pl.Series
    new_users: pl.Series
    rows: dict[str, int]


def cut(tables: Tables, seed: int, folder: Path) -> World:
    """Cut the rows and write each part's files."""
    rng = np.random.default_rng(seed)
    log = tables.interactions.collect().unique([USER_ID, ITEM_ID], keep="last", maintain_order=True)
    new_items = _some(log[ITEM_ID], NEW_ITEMS, rng)
    new_users = _some(log[USER_ID], NEW_USERS, rng)
    of_new = pl.col(ITEM_ID).is_in(new_items.implode()) | pl.col(USER_ID).is_in(new_users.implode())
    late = pl.Series("late", rng.random(log.height) < LATE)
    split = rng.choice(
        ["validation", "test", "train"], log.height, p=[VALIDATION, 0.01, 0.99 - VALIDATION]
    )
    log = log.with_columns(late, pl.Series(SPLIT, split)).filter(pl.col("late") | ~of_new)
    asked = pl.Series("asked", rng.random(log.height) < HELD_OUT) & log["late"]
    answers, log = log.filter(asked), log.filter(~asked)
    parts = {"before": log.filter(~pl.col("late")), "new": log.filter("late"), "all": log}
    source = {}
    for name, rows in parts.items():
        rows.drop("late").write_parquet(folder / f"{name}.parquet")
        source[name] = {
            "kind": "table",
            "interactions": {"path": str(folder / f"{name}.parquet"), "split": SPLIT},
        }
        for table, key in (("items", ITEM_ID), ("users", USER_ID)):
            path = folder / f"{name}-{table}.parquet"
            named = rows[key].unique().implode()
            getattr(tables, table).filter(pl.col(key).is_in(named)).sink_parquet(path)
            features = tables.features[table[:-1]].items()
            kinds = {
                n: {**f.model_dump(exclude_defaults=True), "kind": f.kind} for n, f in features
            }
            source[name][table] = {"path": str(path), "features": kinds}
    sizes = {name: int((rows[SPLIT] == "train").sum()) for name, rows in parts.items()}
    pair = (USER_ID, ITEM_ID)
    return World(source, answers.select(pair), log.select(pair), new_items, new_users, sizes)


def _some(ids: pl.Series, share: float, rng: np.random.Generator) -> pl.Series:
    distinct = ids.unique().sort()
    return distinct.filter(pl.Series(rng.permutation(len(distinct)) < share * len(distinct)))


@dataclass(frozen=True)
class Ran:
    """A run up to ``train``, and what it cost."""

    name: str
    recipe: Recipe
    folders: Mapping[str, Path]
    seconds: float
    processor: float


def runs(
    world: World, data: str, out: Path, seed: int, variants: Mapping[str, Mapping[str, Any]]
) -> Iterator[Ran]:
    """Yield ``before``, each variant of continuing it, and ``retrained``."""
    shared = load_recipe(RECIPES[data], CHANGES[data]).model_dump(mode="json")
    shared |= {"split": {"kind": "given"}, "features": {}, "runtime": {"seed": seed}}
    earlier = out / "earlier"
    for name in ("before", *variants, "retrained"):
        part = name if name == "before" else "all" if name == "retrained" else "new"
        safe = re.sub(r"[^A-Za-z0-9.]+", "-", name)
        content = {**shared, "name": safe, "source": world.source[part]}
        if part == "new":
            content["continue_from"] = {"run": str(earlier), **variants[name]}
        recipe = validate_recipe(content)
        started, busy = time.monotonic(), time.process_time()
        steps = run(recipe, out, Selection(last="train"))
        seconds, processor = time.monotonic() - started, time.process_time() - busy
        folders = {step.stage.name: step.folder for step in steps}
        if name == "before":
            earlier.mkdir()
            for stage in ("process", "train"):
                (earlier / stage).symlink_to(folders[stage].absolute())
        yield Ran(name, recipe, folders, seconds, processor)


def scored(ran: Ran, world: World) -> tuple[pl.DataFrame, NDArray[Any], pl.DataFrame]:
    """Return the run's users, the scores of all items for each, and the items."""
    from towermill.models.build import load_model

    data, model = load_model(ran.folders["process"], ran.folders["train"], ran.recipe.model)
    matrix = model.embed_queries(data.users) @ model.embed_items(data.items).T
    met = world.met
    for key, known in ((USER_ID, data.users), (ITEM_ID, data.items)):
        ids = known.select(pl.col(RAW_PREFIX + key), pl.col(key).alias(f"encoded_{key}"))
        met = met.join(ids, left_on=key, right_on=RAW_PREFIX + key)
    rows, columns = (met[f"encoded_{key}"].to_numpy() - FIRST_ID for key in (USER_ID, ITEM_ID))
    matrix[rows, columns] = -np.inf
    return data.users, matrix, data.items


def measure(
    found: tuple[pl.DataFrame, NDArray[Any], Any],
    answers: pl.DataFrame,
    among: pl.Series | None = None,
) -> dict[str, float]:
    """Return nDCG and recall at `K`, means over users with an answer, ranking `among` alone."""
    users, matrix, items = found
    raw_items, raw_users = items[RAW_PREFIX + ITEM_ID], users[RAW_PREFIX + USER_ID]
    matrix = matrix.copy()
    if among is not None:
        matrix[:, ~raw_items.is_in(among.implode()).to_numpy()] = -np.inf
    top = np.argsort(-matrix, axis=1)[:, :K]
    row = {user: i for i, user in enumerate(raw_users)}
    column = {item: i for i, item in enumerate(raw_items)}
    wanted: dict[int, set[int]] = {}
    for user, item in answers.iter_rows():
        if user in row:
            wanted.setdefault(row[user], set()).add(column.get(item, -1))
    discount = 1 / np.log2(np.arange(2, K + 2))
    ndcg, recall = [], []
    for user, right in wanted.items():
        hits = np.array([i in right for i in top[user]])
        ndcg.append((hits * discount).sum() / discount[: len(right)].sum())
        recall.append(hits.sum() / len(right))
    return {"ndcg": float(np.mean(ndcg)), "recall": float(np.mean(recall))} if ndcg else {}


def figures(ran: Ran, world: World) -> dict[str, Any]:
    """Return what a run reaches, by group, and what it cost."""
    found = scored(ran, world)
    _, matrix, items = found
    raw = items[RAW_PREFIX + ITEM_ID]
    is_new = raw.is_in(world.new_items.implode())
    of_new = pl.col(ITEM_ID).is_in(world.new_items.implode())
    by_new = pl.col(USER_ID).is_in(world.new_users.implode())
    asked = {
        "old users": (world.answers.filter(~by_new), None),
        "old users, old items alone": (
            world.answers.filter(~by_new & ~of_new),
            raw.filter(~is_new),
        ),
        "new users": (world.answers.filter(by_new), None),
        "new items": (world.answers.filter(of_new), None),
    }
    told: dict[str, Any] = {}
    for group, (answers, among) in asked.items():
        for metric, value in measure(found, answers, among).items():
            told[f"{group}: {metric}@{K}"] = value
    shown = np.argsort(-matrix, axis=1)[:, :K]
    told["new among those shown"] = float(is_new.to_numpy()[shown].mean())
    train = ran.folders["train"]
    history = json.loads((train / "history.json").read_text())["history"]
    rows = Stats.read(ProcessedFolder(ran.folders["process"])).rows
    told["epochs"] = len(history)
    told["rows trained on"] = (rows["train"] + rows.get("replayed", 0)) * len(history)
    told["seconds in epochs"] = sum(epoch["seconds"] for epoch in history)
    told["seconds of train"] = json.loads((train / "manifest.json").read_text())["seconds"]
    told["seconds of prepare to train"] = ran.seconds
    told["processor seconds of prepare to train"] = ran.processor
    return told


def one(data: str, seed: int, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of one seed, by run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        tables = load_recipe(RECIPES[data], CHANGES[data]).source.read(folder / "scratch")
        world = cut(tables, seed, folder)
        result: dict[str, Any] = {"rows": world.rows}
        for ran in runs(world, data, folder / "runs", seed, variants):
            result[ran.name] = figures(ran, world)
            ids = pl.read_parquet(ProcessedFolder(ran.folders["process"]).items)
            ids = ids.select(ITEM_ID, RAW_PREFIX + ITEM_ID)
            if ran.name == "before":
                known = ids
            elif ran.name != "retrained":
                result[ran.name]["old ids unchanged"] = float(ids.head(known.height).equals(known))
    return result


def table(results: list[dict[str, Any]]) -> Table:
    """Return medians over seeds, and of costs and metrics the ratio to those of retraining."""
    names = [name for name in results[0] if name != "rows"]
    shown = Table(box=box.SIMPLE_HEAD)
    for header in ("", *names):
        shown.add_column(header, justify="left" if not header else "right")
    for figure in results[0][names[1]]:
        cells = []
        for name in names:
            values = [found[name][figure] for found in results if figure in found[name]]
            if not values:
                cells.append("")
                continue
            cell = f"{statistics.median(values):.4g}"
            pairs = [
                found[name][figure] / found["retrained"].get(figure, 0)
                for found in results
                if found["retrained"].get(figure, 0)
            ]
            cells.append(cell + (f" ({statistics.median(pairs):.2f})" if pairs else ""))
        shown.add_row(figure, *cells)
    return shown


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    for option, key in (
        ("replay", "replay"),
        ("epochs", "epochs"),
        ("factor", "learning_rate_factor"),
    ):
        default = ContinueConfig.model_fields[key].default
        parser.add_argument(f"--{option}", nargs="+", type=type(default), default=[default])
    parser.add_argument("--json", type=Path, help="a file for all figures")
    given = parser.parse_args()
    quiet_tensorflow()
    variants = {
        ", ".join(f"{value:g} {key}" for key, value in keys.items()): keys
        for keys in (
            {"replay": r, "epochs": e, "learning_rate_factor": f}
            for r in given.replay
            for e in given.epochs
            for f in given.factor
        )
    }
    told: dict[str, Any] = {}
    console = Console(width=60 + 30 * len(variants))
    for data in given.data:
        told[data] = [one(data, seed, variants) for seed in given.seeds]
        console.print(
            f"{data}, {len(given.seeds)} seeds; rows of the first: {told[data][0]['rows']}"
        )
        console.print(table(told[data]))
        if given.json:
            given.json.write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
