"""Try a recipe's bundle on simulated users, next to a lower and an upper bound."""

from __future__ import annotations

import importlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from towermill.errors import RecipeError
from towermill.files import replacing
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.recommend.catalogue import Catalogue
from towermill.pipelines.running.run import run
from towermill.pipelines.simulation.policies import Policies, check_policies
from towermill.pipelines.simulation.report import write_report
from towermill.pipelines.simulation.trial import RESULT, run_trial
from towermill.pipelines.simulation.users import DefaultUsers, GivenUsers
from towermill.pipelines.stages.base import Declared
from towermill.pipelines.stages.keys import key_of
from towermill.registry import reference
from towermill.runtime.code import Code, code_of
from towermill.section import modules_of

logger = logging.getLogger(__name__)

#: What computes a trial; this module only lists the trials and keeps their results.
_CODE = tuple(f"towermill.pipelines.simulation.{name}" for name in ("trial", "policies", "users"))
#: The sections of a recipe that a trial may read: its key holds them, or the bundle that they made.
_SECTIONS = ("simulate", "source", "model", "text.vectors")
#: Parts of the section `simulate` that decide nothing of one policy's trial.
_OF_ALL = ("policies",)


def simulate(
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    seeds: Sequence[int] = (0,),
    environment: Any = None,
    training: Any = None,
) -> dict[str, Any]:
    """Run the recipe, if it has not been run, and try its policies out on simulated users.

    Each trial of a policy and a seed is kept in ``<out>/<recipe>/simulations/<key>/seed-<n>/`` when
    it is done; a call that was cut off goes on with the next one. The key holds the section
    `simulate`, the bundle and the code.

    Parameters
    ----------
    recipe
        Its source is `slates`, unless there is an `environment`.
    out
        Where runs are kept.
    seeds
        Of users' choices, exploration and negatives; the bundle is the same for all.
    environment
        Anything with the protocol of `towermill.pipelines.simulation.environment.Environment`, for
        test episodes. Its users and items have the raw ids of the recipe's data; a user not known
        is served as one. It is run anew each time.
    training
        Another one, for training episodes. Without, what learns begins from the bundle's weights.

    Returns
    -------
    ``folder``; ``seeds``; ``policies``, as `write_report` gives them. The folder also has
    ``simulation.json`` with the same, ``scores.csv`` by user, and ``clicks.png``.

    Raises
    ------
    RecipeError
        There is no environment, or a policy cannot be had of it, or of this recipe's model.
    DataError
        An environment does not keep to the protocol.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise RecipeError(f"Seeds should be different numbers. Received: {list(seeds)}")
    declared: Any = Declared(recipe, _SECTIONS, "simulate")
    users: DefaultUsers | GivenUsers
    users = DefaultUsers(declared) if environment is None else GivenUsers(environment, training)
    check_policies(declared, environment is None)
    steps = run(recipe, out)
    exported = next(step.folder for step in steps if step.stage.name == "export")
    catalogue = Catalogue(exported / "bundle")
    folder = Path(out) / recipe.name / "simulations" / _key(recipe, catalogue, environment)
    if environment is not None:
        shutil.rmtree(folder, ignore_errors=True)
    trials: dict[tuple[str, int], Path] = {}
    for seed in seeds:
        policies = Policies(declared, catalogue, users.known(seed))
        for name in recipe.simulate.policies:
            trial = trials[name, seed] = folder / f"seed-{seed}" / name
            if (trial / RESULT).is_file():
                continue
            # Fresh ones: the chances of a trial do not hang on which others were run before it.
            to_train, to_test = users.both(seed)
            policy = policies.make(name, seed)
            run_trial(name, policy, to_train, to_test, recipe.simulate.episodes, trial)
    found = {
        "folder": str(folder),
        "seeds": list(seeds),
        "policies": write_report(trials, recipe.simulate.horizon, folder),
    }
    with replacing(folder / "simulation.json") as file:
        file.write_text(json.dumps(found, indent=2))
    return found


def load_environment(name: str) -> Any:
    """Return what ``package.module:name`` says: an environment, or the result of calling it.

    Raises
    ------
    RecipeError
        There is no such module or name.
    """
    module, separator, attribute = name.partition(":")
    if not separator:
        raise RecipeError(f"--environment should read package.module:name. Received: {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
        return found() if isinstance(found, type) or not hasattr(found, "reset") else found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise RecipeError(
            f"--environment {name}: {error}. Expected an environment, or what makes one when it is "
            "called without arguments, in a module on PYTHONPATH."
        ) from error


def code_of_trials(recipe: Recipe) -> Code:
    """Return the code that computes a trial of this recipe."""
    online = recipe.model.online
    learning = () if online is None else (reference(online).module,)
    return code_of(*_CODE, *modules_of(recipe.source), *learning)


def _key(recipe: Recipe, catalogue: Catalogue, environment: Any) -> str:
    code = code_of_trials(recipe)
    return key_of(
        {
            "settings": recipe.simulate.model_dump(mode="json", exclude=set(_OF_ALL)),
            "source": recipe.source.model_dump(mode="json"),
            "model": recipe.model.model_dump(mode="json"),
            "bundle": catalogue.bundle.manifest.id,
            "environment": None if environment is None else type(environment).__qualname__,
            "code": code.version,
            "packages": code.packages,
        }
    )
