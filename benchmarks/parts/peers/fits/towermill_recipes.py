"""Train a recipe of the folder ``recipes`` on a split, and write its lists as `harness.peer` does.

The processor seconds are those of the stage ``train``: its rankings of the validation split
included, imports not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from harness import K

from towermill.columns import FIRST_ID
from towermill.models.build import load_model
from towermill.models.evaluation.catalogue import ranked
from towermill.models.training.train import train_model  # noqa: F401, imports are not timed
from towermill.pipelines import Recipe, Selection, run, validate_recipe
from towermill.runtime.device import quiet_tensorflow

RECIPES = Path(__file__).parent / "recipes"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--setting", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    quiet_tensorflow()

    recipe = read_recipe(options.data, options.seed, **options.setting)
    runs = options.data / "runs"
    steps = run(recipe, runs, Selection(last="process"))
    started = time.process_time()
    steps = run(recipe, runs, Selection(last="train", force=("train",)))
    seconds = time.process_time() - started
    folders = {step.stage.name: step.folder for step in steps}
    data, model = load_model(folders["process"], folders["train"], recipe.model)
    users = data.users["raw_user_id"].to_numpy()
    items = data.items["raw_item_id"].to_numpy()[data.ranking_order]
    for split in ("validation", "test"):
        queries = data.queries(split)
        top = ranked(model.scores(queries.features, data.catalogue), data, queries, K)
        rows, places = np.nonzero(top.positions >= 0)
        codes = queries.features["user_id"].to_numpy()[rows] - FIRST_ID
        lists = {
            "user": users[codes],
            "item": items[top.positions[rows, places]],
            "rank": places + 1,
        }
        pl.DataFrame(lists).write_parquet(options.out / f"{split}.parquet")
    (options.out / "fit.json").write_text(json.dumps({"seconds": seconds}))


def read_recipe(data: Path, seed: int, recipe: str, **changes: Any) -> Recipe:
    """Return the recipe on the data's source and split, with changes of `model` and `train`."""
    content = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text())
    content |= json.loads((data / "split.json").read_text())
    content |= {"name": recipe, "runtime": {"seed": seed, "device": "cpu"}}
    for section, keys in changes.items():
        content[section] |= keys
    return validate_recipe(content)


if __name__ == "__main__":
    main()
