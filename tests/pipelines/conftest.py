"""Fake stages, a tiny shop in CSV files, one trained tiny run, and the command line in-process."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from towermill.pipelines import Recipe, run, validate_recipe
from towermill.pipelines.running import plan as planning
from towermill.pipelines.stages.stages import STAGES

# For what the tests of this folder share.
sys.path[:0] = [str(Path(__file__).parent / name) for name in ("bundle", "triton")]

TINY: dict[str, Any] = {
    "name": "tiny",
    "source": {"kind": "synthetic", "users": 300, "items": 50, "interactions": 3000},
    "split": {"cold": "flag"},
    "model": {"tower": [8]},
    "train": {"epochs": 2, "batch_size": 256, "learning_rate": 0.01},
    "evaluate": {"k": [5, 10]},
}

NEWS: dict[str, Any] = {
    "name": "news",
    "source": {
        **{"kind": "news", "users": 80, "articles": 200, "impressions": 500},
        **{"topics": 4, "hidden": 60},
    },
    "split": {"kind": "given"},
    "features": {"history_size": 6},
    "text": {"title_size": 6, "word_dim": 8},
    "model": {"kind": "nrms", "heads": 2, "head_dim": 4, "attention_dim": 8, "age": True},
    "train": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
}
NEWS["model"]["features"] = ["category"]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Undo what a run and the command line do to the process."""
    gpus, handlers = os.environ.get("CUDA_VISIBLE_DEVICES"), logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    if gpus is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus


@dataclass(frozen=True)
class Trained:
    """A whole run."""

    recipe: Recipe
    out: Path
    stages: dict[str, Path]

    @property
    def bundle(self) -> Path:
        return self.latest / "bundle"

    @property
    def latest(self) -> Path:
        return self.out / self.recipe.name / "latest"

    def changed(self, out: Path, **sections: dict[str, Any]) -> Trained:
        """Run the recipe with other keys in some sections; what stays the same is not run again."""
        content = self.recipe.model_dump(mode="json")
        for name, keys in sections.items():
            own = {} if "kind" in keys and name == "model" else content[name]
            content[name] = {**own, **keys}
        shutil.copytree(self.out, out, dirs_exist_ok=True, symlinks=True)
        return to_the_end(content, out)

    def live(self) -> Any:
        """Return the processed data and the trained model."""
        from towermill.models.build import load_model

        return load_model(self.stages["process"], self.stages["train"], self.recipe.model)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny synthetic world, run to the end in this process. Not to be written to."""
    return to_the_end(TINY, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def news(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny world of news, likewise."""
    return to_the_end(NEWS, tmp_path_factory.mktemp("news"))


SLATES: dict[str, Any] = {
    "name": "slates",
    "source": {"kind": "slates", "users": 120, "items": 200, "categories": 4, "shown": 60},
    "split": {"kind": "random", "by": "user"},
    "text": {"columns": ["headline", "short_description"], "vectors": "lsa"},
    "model": {"kind": "funk_svd", "factors": 8},
    "train": {"epochs": 15, "batch_size": 64, "learning_rate": 0.01},
    "simulate": {
        "train_users": 60,
        "episodes": 2,
        "policies": ["random", "popular", "content", "model", "hybrid_online", "oracle"],
    },
}


@dataclass(frozen=True)
class SlatesRun(Trained):
    """A whole run whose users can be simulated, and its recipe as a file."""

    file: Path

    def changed_to(self, **keys: Any) -> Recipe:
        """Return the recipe with other keys of the section `simulate`."""
        content = self.recipe.model_dump(mode="json")
        return validate_recipe({**content, "simulate": {**content["simulate"], **keys}})


@pytest.fixture(scope="session")
def slates_run(tmp_path_factory: pytest.TempPathFactory) -> SlatesRun:
    """A tiny world of slates, run to the end in this process."""
    out = tmp_path_factory.mktemp("slates")
    file = out / "slates.yaml"
    file.write_text(yaml.safe_dump(SLATES))
    done = to_the_end(SLATES, out / "runs")
    return SlatesRun(done.recipe, done.out, done.stages, file)


@pytest.fixture(scope="session")
def slates_blend(slates_run: SlatesRun) -> Path:
    """A blend of two places by score and three by content, as a file."""
    sources = [
        {"bundle": str(slates_run.bundle), "quota": 2},
        {"bundle": str(slates_run.bundle), "quota": 3, "by": "content"},
    ]
    path = slates_run.file.with_name("blend.yaml")
    path.write_text(yaml.safe_dump({"blend": {"sources": sources}}))
    return path


@pytest.fixture(scope="session")
def run_recipe() -> Callable[[dict[str, Any], Path], Trained]:
    """Run a recipe in this process, and return its stages and bundle."""
    return to_the_end


def to_the_end(content: dict[str, Any], out: Path) -> Trained:
    """Run a recipe in this process."""
    recipe = validate_recipe(content)
    steps = run(recipe, out)
    return Trained(recipe, out, {step.stage.name: step.folder for step in steps})


class Fakes:
    """Stages that only note that they ran, and the recipe for them."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing = ""
        self.recipe = validate_recipe(TINY)

    def work(self, name: str) -> Callable[..., None]:
        def stage(recipe: Recipe, inputs: Any, out: Path, runtime: Any) -> None:
            for folder in inputs.values():
                assert (folder / "manifest.json").is_file()
            self.ran.append(name)
            (out / "output").write_text(name)
            if name == "export":
                (out / "bundle").mkdir()
            if name == self.failing:
                raise RuntimeError("on purpose")

        return stage

    def taken(self) -> list[str]:
        ran, self.ran = self.ran, []
        return ran


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """The five stages with nothing to do, in the places of the real ones."""
    found = Fakes()
    stages = tuple(replace(stage, run=found.work(stage.name)) for stage in STAGES)
    monkeypatch.setattr(planning, "STAGES", stages)
    return found


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run `towermill` with these arguments in this process."""
    from towermill.cli.app import main

    def command(*arguments: str | Path) -> Said:
        logging.root.handlers[:] = []
        monkeypatch.setattr(sys, "argv", ["towermill", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


RATINGS = "reader,film,at,stars\n" + "".join(
    f"r{reader},f{(reader * 7 + turn * 3) % 11},{1_700_000_000 + turn},{turn % 5 + 1}\n"
    for turn in range(10)
    for reader in range(12)
)
FILMS = "film,genre,year\n" + "".join(f"f{film},g{film % 3},{1990 + film}\n" for film in range(11))


class Shop:
    """CSV files and a recipe that reads them, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content: dict[str, Any] = {
            "source": {
                "kind": "table",
                "interactions": {
                    "path": str(folder / "ratings.csv"),
                    **{"user_id": "reader", "item_id": "film", "timestamp": "at"},
                    "rating": "stars",
                },
                "items": {
                    "path": str(folder / "films.csv"),
                    "item_id": "film",
                    "features": {"genre": "category", "year": "number"},
                },
            },
            "model": {"tower": [8]},
            "train": {"epochs": 1, "batch_size": 32},
            "evaluate": {"k": [3]},
        }
        self.write("ratings.csv", RATINGS)
        self.write("films.csv", FILMS)

    @property
    def interactions(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content["source"]["interactions"]
        return found

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def recipe(self) -> Path:
        return self.write("shop.yaml", yaml.safe_dump(self.content))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Twelve readers and eleven films with string ids."""
    return Shop(tmp_path)
