"""A recipe with a section `tune`, and a training that is one formula of its keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towermill.errors import DataError
from towermill.pipelines import Recipe, validate_recipe

RATE = {"low": 1e-4, "high": 0.1, "log": True}
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "source": {"kind": "synthetic", "users": 300, "items": 50, "interactions": 3000},
    "model": {"tower": [8], "embedding_dim": 16},
    "train": {"epochs": 3, "learning_rate": 0.05},
    "tune": {
        "parameters": {
            "train.learning_rate": RATE,
            "model.embedding_dim": {"low": 8, "high": 32, "step": 8},
            "model.tower": {"choices": [[8], [16, 8], []]},
        },
        "sampler": {"startup_trials": 3},
        "pruner": {"startup_trials": 2, "warmup_epochs": 2},
    },
}


def recipe_of(**tune: Any) -> Recipe:
    return validate_recipe({**CONTENT, "tune": {**CONTENT["tune"], **tune}})


class World:
    """Stages that do nothing; a training is the better the nearer its rate is to 0.01."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.diverges: Callable[[Recipe], bool] = lambda recipe: False
        self.crashes: Callable[[Recipe], bool] = lambda recipe: False
        self.validation = True

    @staticmethod
    def value(recipe: Recipe) -> float:
        return 1 / (1 + abs(recipe.train.learning_rate - 0.01) * 100)

    def work(self, name: str) -> Callable[..., None]:
        def stage(recipe: Recipe, inputs: Any, out: Path, runtime: Any, **hooks: Any) -> None:
            self.ran.append(name)
            (out / "output").write_text(name)
            if name != "train":
                return
            if self.crashes(recipe):
                raise RuntimeError("on purpose")
            if self.diverges(recipe):
                raise DataError("The training loss is nan.")
            history = []
            for epoch in range(1, recipe.train.epochs + 1):
                metrics = {"ndcg@10": self.value(recipe) * epoch / recipe.train.epochs}
                history.append({"epoch": epoch, "metrics": metrics})
                if hooks.get("after_epoch") is not None:
                    hooks["after_epoch"](epoch, metrics)
            best = self.value(recipe) if self.validation else None
            (out / "history.json").write_text(json.dumps({"best": best, "history": history}))

        return stage
