"""Find and check the finished run that a recipe continues, and pass its stages on as inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from towermill.errors import RecipeError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.stages.keys import differences
from towermill.pipelines.stages.output import MANIFEST, StageManifest, lost, read_manifest

#: Prefix of the earlier run's stages among the inputs of a later one's.
EARLIER: Final = "earlier."
#: What stages of a continued run read of it.
_STAGES: Final = ("process", "train")
#: Sections that must not change.
_SAME: Final = {"process": ("features", "text"), "train": ("model",)}


def earlier_stages(recipe: Recipe, prepared: str) -> dict[str, tuple[Path, str]]:
    """Return folder and key of each stage that is read of the run that the recipe continues.

    A run that continued another on the very data of this recipe is what the recipe made before:
    then that other one is meant, so that the same call again finds its stages done.

    Parameters
    ----------
    recipe
        With `continue_from`; without, there are none.
    prepared
        The key of the recipe's own ``prepare``.

    Raises
    ------
    RecipeError
        The run is not finished, or damaged; its features, text or model are others; or it was
        trained on the very data of this recipe.
    """
    if recipe.continue_from is None:
        return {}
    run = recipe.continue_from.run
    folders = {name: run / name for name in _STAGES}
    while True:
        manifests = {name: _whole(run, name, folder) for name, folder in folders.items()}
        if manifests["process"].ingredients["inputs"]["prepare"] != prepared:
            break
        read = {name: manifests[name].inputs.get(EARLIER + name) for name in _STAGES}
        if not all(read.values()):
            raise RecipeError(
                f"The run {run} was trained on the very data of this recipe: there is nothing new "
                "to continue it with. Give new data in `source`, or leave out `continue_from`."
            )
        folders = {name: Path(str(path)) for name, path in read.items()}
    _require_same(recipe, manifests)
    return {n: (folder.resolve(), manifests[n].key) for n, folder in folders.items()}


def _whole(run: Path, stage: str, folder: Path) -> StageManifest:
    """Return the manifest of a stage; refuse one that is unfinished or damaged."""
    wanted = (
        "`continue_from.run` should be the folder of a finished run, such as runs/<recipe>/latest"
    )
    manifest = read_manifest(folder)
    if manifest is None:
        hint = f" Did you mean {run / 'latest'}?" if (run / "latest").is_dir() else ""
        found = f"{folder} has no {MANIFEST}" if run.is_dir() else f"there is no folder {run}"
        raise RecipeError(f"{wanted}; {found}.{hint}")
    if manifest.stage != stage:
        raise RecipeError(
            f"{wanted}. {folder} holds no stage {stage!r} of this version of Towermill. Run that "
            "recipe again."
        )
    if gone := lost(folder, manifest):
        raise RecipeError(
            f"{wanted}. {folder} is damaged: its {gone} is gone or changed. Run that recipe again."
        )
    return manifest


def _require_same(recipe: Recipe, manifests: dict[str, StageManifest]) -> None:
    now = recipe.model_dump(mode="json")
    reasons = []
    for stage, sections in _SAME.items():
        before = manifests[stage].ingredients["settings"]
        for name in sections:
            pair = [{"settings": {name: held[name]}} for held in (before, now)]
            reasons += differences(*pair)
    if manifests["train"].made_from["process"] != manifests["process"].finished:
        reasons.append("its `process` was made again after its `train`: run that recipe again")
    if reasons:
        raise RecipeError(
            "The features, text and model must match the continued run. Differences: "
            f"{'; '.join(reasons)}. Set them back, or retrain from scratch without `continue_from`."
        )
