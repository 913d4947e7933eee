"""Runs a recipe's stages, each once: keys, cache, resume, and a folder that is whole or not there.

``<out>/<recipe>/<stage>/<key>/`` holds a finished stage, its ``manifest.json`` written last;
``<key>.partial`` is one at work or cut off. ``latest`` links to the newest whole run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from towermill import __version__
from towermill.errors import RecipeError, SetupError, TowermillError
from towermill.pipelines.keys import (
    code_version,
    differences,
    fingerprints,
    key_of,
    package_versions,
)
from towermill.pipelines.outputs import MANIFEST, lost, made_again, read_manifest, sizes
from towermill.pipelines.recipe import Recipe
from towermill.pipelines.stages import STAGE_NAMES, STAGES, Stage, settings_of
from towermill.runtime import Runtime, cluster_client, resolve

logger = logging.getLogger(__name__)

_CUT_OFF = "was cut off"
#: In a folder at work: when its inputs were made. What was begun on others is not gone on with.
_MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class Step:
    """A stage of a plan.

    Attributes
    ----------
    stage, key, folder
        What runs, and where its output stands or will stand.
    ingredients
        What the key is made of.
    runs
        Whether it has to run.
    reason
        Why, or why not.
    stood
        Whether an output was there when the plan was made.
    """

    stage: Stage
    key: str
    folder: Path
    ingredients: dict[str, Any]
    runs: bool
    reason: str
    stood: bool

    @property
    def partial(self) -> Path:
        """Where the stage writes while it runs."""
        return self.folder.with_name(f"{self.key}.partial")


@dataclass(frozen=True)
class Selection:
    """Which stages a run is about: from `first` to `last`; those in `force` run in any case."""

    first: str = STAGE_NAMES[0]
    last: str = STAGE_NAMES[-1]
    force: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.first, self.last, *self.force):
            if name not in STAGE_NAMES:
                raise RecipeError(
                    f"No stage {name!r}. The stages are {', '.join(STAGE_NAMES)}, in this order."
                )
        if STAGE_NAMES.index(self.first) > STAGE_NAMES.index(self.last):
            raise RecipeError(f"Stage {self.first!r} comes after {self.last!r}: nothing to run.")
        for name in self.force:
            if name not in self:
                raise RecipeError(
                    f"--force names {name!r}, which is not among the stages asked for "
                    f"({self.first} to {self.last})."
                )

    def __contains__(self, name: str) -> bool:
        place = STAGE_NAMES.index
        return place(self.first) <= place(name) <= place(self.last)


def plan(recipe: Recipe, out: str | Path, selection: Selection | None = None) -> list[Step]:
    """Return every stage of the recipe under the folder `out`, whether it would run, and why.

    Raises
    ------
    DataError
        A raw file is missing.
    RecipeError
        A stage before the selection has not been run.
    """
    selection, out = selection or Selection(), Path(out)
    steps: dict[str, Step] = {}
    for stage in STAGES:
        ingredients = {
            "code": code_version(*stage.code),
            "settings": settings_of(stage, recipe),
            "packages": package_versions(stage.packages),
            "inputs": {name: steps[name].key for name in stage.inputs},
        }
        if not stage.inputs:
            ingredients["files"] = fingerprints(recipe.source.files())
        key = key_of(ingredients)
        folder = out / recipe.name / stage.name / key
        upstream = [name for name in stage.inputs if steps[name].runs]
        damage = _damage(folder, {name: steps[name].folder for name in stage.inputs})
        stood = (folder / MANIFEST).is_file()
        done = stood and not damage
        if stage.name in selection.force:
            runs, reason = True, "forced"
        elif upstream:
            runs, reason = True, f"{upstream[0]} runs"
        elif damage:
            runs, reason = True, damage
        elif done:
            runs, reason = False, "done"
        else:
            runs, reason = True, _why(folder, ingredients)
        if stage.name not in selection:
            if runs and STAGE_NAMES.index(stage.name) < STAGE_NAMES.index(selection.first):
                raise RecipeError(
                    f"Stage {stage.name!r} comes before {selection.first!r} and is not done "
                    f"({reason}). Run it first, with `--from {stage.name}`."
                )
            runs, reason = False, "done" if done and not upstream else "not asked for"
        steps[stage.name] = Step(stage, key, folder, ingredients, runs, reason, stood)
    return list(steps.values())


def run(recipe: Recipe, out: str | Path, selection: Selection | None = None) -> list[Step]:
    """Run what has to run of the recipe, keep it under `out`, and return the steps as planned.

    Raises
    ------
    TowermillError
        Of any stage; what earlier stages finished stays, and the same call goes on from there.
    """
    runtime = resolve(recipe.runtime.device, recipe.runtime.cluster, recipe.runtime.seed)
    out = Path(out)
    steps = plan(recipe, out, selection)
    _require_folder(out / recipe.name)
    folders = {step.stage.name: step.folder for step in steps}
    if any(step.runs for step in steps):
        with cluster_client(runtime):
            for step in steps:
                if step.runs:
                    inputs = {name: folders[name] for name in step.stage.inputs}
                    _run_stage(step, recipe, inputs, runtime)
    if all((step.folder / MANIFEST).is_file() for step in steps):
        _link_latest(out / recipe.name, steps)
    return steps


def _require_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        writable = os.access(root, os.W_OK | os.X_OK)
        problem = "" if writable else "it cannot be written to"
    except OSError as error:
        problem = str(error)
    if problem:
        raise SetupError(
            f"Runs should be kept in a folder that can be written. {root}: {problem}. Choose "
            "another with --out."
        )


def _run_stage(step: Step, recipe: Recipe, inputs: dict[str, Path], runtime: Runtime) -> None:
    partial, folder = step.partial, step.folder
    partial.parent.mkdir(parents=True, exist_ok=True)
    locks = partial.parents[1] / ".locks"
    locks.mkdir(exist_ok=True)
    with _lock(locks / f"{step.stage.name}-{step.key}"):
        if not step.stood and (folder / MANIFEST).is_file():
            logger.info("%s: another process has finished it", step.stage.name)
            return
        made_from = {name: _finished(folder) for name, folder in inputs.items()}
        begun = partial / _MADE_FROM
        same = begun.is_file() and json.loads(begun.read_text()) == made_from
        if not (step.stage.resumes and step.reason == _CUT_OFF and same):
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        begun.write_text(json.dumps(made_from))
        logger.info("%s: running (%s)", step.stage.name, step.reason)
        started = time.monotonic()
        step.stage.run(recipe, inputs, partial, runtime)
        seconds = time.monotonic() - started
        begun.unlink()
        manifest = {
            "stage": step.stage.name,
            "key": step.key,
            "finished": datetime.now(UTC).isoformat(),
            "seconds": round(seconds, 3),
            "towermill": __version__,
            "device": runtime.device,
            "made_from": made_from,
            "files": sizes(partial),
            "ingredients": step.ingredients,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2, default=str))
        _replace(folder, partial)
    logger.info("%s: done in %.1f s", step.stage.name, seconds)


def _replace(folder: Path, partial: Path) -> None:
    """Put `partial` in the place of `folder`, which is never there half deleted."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _finished(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise TowermillError(
            f"Expected a finished stage in {folder}; its {MANIFEST} is gone. Run the same again."
        )
    return str(manifest["finished"])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the stage's lock; the system lets go of it when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TowermillError(
                f"Another process is running this very stage ({path.stem}). Wait for it, or give "
                "this run another folder with --out."
            ) from None
        # The file stays: one that is unlinked could be locked by two processes at a time.
        yield


def _damage(folder: Path, inputs: dict[str, Path]) -> str | None:
    """Return why an output that is there cannot be used; None where it can, or is not there."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    if manifest is None:
        return f"its {MANIFEST} is damaged"
    if gone := lost(folder, manifest):
        return f"its {gone} is gone or changed"
    newer = made_again(manifest, inputs)
    return f"{newer} was made again" if newer else None


def _why(folder: Path, ingredients: dict[str, Any]) -> str:
    if folder.with_name(f"{folder.name}.partial").is_dir():
        return _CUT_OFF
    earlier = [
        (manifest["finished"], manifest["ingredients"])
        for path in folder.parent.glob(f"*/{MANIFEST}")
        if not path.parent.suffix and (manifest := read_manifest(path.parent)) is not None
    ]
    if not earlier:
        return "never run"
    newest = max(earlier, key=itemgetter(0))[1]
    reasons = differences(newest, json.loads(json.dumps(ingredients, default=str)))
    return "; ".join(reasons) or "settings changed"


def _link_latest(root: Path, steps: Sequence[Step]) -> None:
    """Point ``latest`` at these stages' folders, by one rename."""
    name = key_of({step.stage.name: step.key for step in steps})
    target = root / "by-run" / name
    if not target.is_dir():
        partial = target.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for step in steps:
            (partial / step.stage.name).symlink_to(Path("../..") / step.stage.name / step.key)
        (partial / "bundle").symlink_to("export/bundle")
        partial.rename(target)
    link = root / "latest.partial"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("by-run") / name)
    link.replace(root / "latest")
