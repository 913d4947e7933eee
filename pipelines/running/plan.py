"""Plan which stages of a recipe run, and why: keys, cache, and interrupted stages.

``<out>/<recipe>/<stage>/<key>/`` holds a finished stage, its ``manifest.json`` written last;
``<key>.partial`` is one that is running or was interrupted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from towermill.errors import RecipeError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.stages.base import Stage
from towermill.pipelines.stages.continued_run import EARLIER, earlier_stages
from towermill.pipelines.stages.keys import differences, fingerprints, key_of
from towermill.pipelines.stages.output import MANIFEST, lost, made_again, read_manifest
from towermill.pipelines.stages.stages import STAGE_NAMES, STAGES
from towermill.runtime.code import code_of

#: The reason of a stage that is forced to run; any other may resume where it was interrupted.
FORCED = "forced"


@dataclass(frozen=True)
class Step:
    """A stage of a plan.

    Attributes
    ----------
    stage, key, folder
        The stage, its key, and the folder of its output.
    inputs
        Folders of what it reads, by name: stages of this run, and of the one that it continues.
    ingredients
        The ingredients of the key.
    runs
        Whether it has to run.
    reason
        Why, or why not.
    stood
        When the output that existed at planning time was finished; None if there was none.
    """

    stage: Stage
    key: str
    folder: Path
    inputs: dict[str, Path]
    ingredients: dict[str, Any]
    runs: bool
    reason: str
    stood: str | None

    @property
    def partial(self) -> Path:
        """The folder that the stage writes to while it runs."""
        return self.folder.with_name(f"{self.key}.partial")


@dataclass(frozen=True)
class Selection:
    """The stages of a run, from `first` to `last`; those in `force` always run."""

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
        A raw file, or one that `text` names, is missing.
    RecipeError
        A stage before the selection has not been run; or see `earlier_stages`.
    """
    selection, out = selection or Selection(), Path(out)
    steps: dict[str, Step] = {}
    earlier: dict[str, tuple[Path, str]] = {}
    for stage in STAGES:
        read = {name: (steps[name].folder, steps[name].key) for name in stage.inputs}
        if stage.earlier:
            earlier = earlier or earlier_stages(recipe, steps[STAGE_NAMES[0]].key)
            read |= {EARLIER + name: earlier[name] for name in stage.earlier if earlier}
        inputs = {name: folder for name, (folder, _) in read.items()}
        code = code_of(*stage.roots(recipe))
        ingredients: dict[str, Any] = {
            "code": code.version,
            "settings": stage.settings(recipe),
            "packages": code.packages,
            "inputs": {name: key for name, (_, key) in read.items()},
        }
        if files := stage.files(recipe):
            ingredients["files"] = fingerprints(files)
        key = key_of(ingredients)
        folder = out / recipe.name / stage.name / key
        upstream = [name for name in stage.inputs if steps[name].runs]
        damage = _damage(folder, inputs)
        standing = read_manifest(folder)
        stood = None if standing is None else standing.finished
        done = stood is not None and not damage
        if stage.name in selection.force:
            runs, reason = True, FORCED
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
        steps[stage.name] = Step(stage, key, folder, inputs, ingredients, runs, reason, stood)
    return list(steps.values())


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
        return "was cut off"
    earlier = [
        (manifest.finished, manifest.ingredients)
        for path in folder.parent.glob(f"*/{MANIFEST}")
        if not path.parent.suffix and (manifest := read_manifest(path.parent)) is not None
    ]
    if not earlier:
        return "never run"
    newest = max(earlier, key=itemgetter(0))[1]
    reasons = differences(newest, json.loads(json.dumps(ingredients, default=str)))
    return "; ".join(reasons) or "settings changed"
