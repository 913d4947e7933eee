"""Run one trial: the stage `train`, which reports each epoch to a study and may be pruned."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from towermill.errors import DataError, PrunedError, RecipeError, SchemaError, StageError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.recipe.tune import PrunerConfig
from towermill.pipelines.stages.base import Stage
from towermill.runtime.device import Runtime
from towermill.section import Section

#: Errors that fail a trial; the study continues.
FAILURES = (DataError, RecipeError, SchemaError, StageError)


class Judge(Section):
    """Decide after each epoch whether a trial continues; serialisable.

    Attributes
    ----------
    folder, number
        The study's folder, and the trial's number in it.
    metric
        The metric to report.
    pruner, epochs
        As the study was opened with.
    spared
        Whether the trial is never ended.
    """

    folder: Path
    number: int
    metric: str
    pruner: PrunerConfig
    epochs: int
    spared: bool

    def after_epoch(self) -> Callable[[int, dict[str, float]], None]:
        """Return what `towermill.models.training.fit.fit` calls.

        It raises `PrunedError` once the trial is not worth going on with.
        """
        import optuna

        from towermill.pipelines.tuning.journal import open_study

        study, storage = open_study(self.folder, self.pruner, self.epochs)
        study_id = storage.get_study_id_from_name(study.study_name)
        known = storage.get_trial_id_from_study_id_trial_number(study_id, self.number)
        trial = optuna.trial.Trial(study, known)

        def tell(epoch: int, metrics: dict[str, float]) -> None:
            trial.report(metrics[self.metric], epoch)
            if not self.spared and trial.should_prune():
                raise PrunedError(f"Trial {self.number} was ended after epoch {epoch}.")

        return tell


def judged(stage: Stage, judge: Judge | Mapping[str, Any]) -> Stage:
    """Return a trial's stage `train`: it reports, and leaves no output if it fails or is pruned.

    If it is killed, its output so far stays, and is resumed. `judge` may be a `Judge` as JSON.
    """
    decide, run = Judge.model_validate(judge), stage.run

    def train(recipe: Recipe, inputs: Mapping[str, Path], out: Path, runtime: Runtime) -> None:
        try:
            run(recipe, inputs, out, runtime, after_epoch=decide.after_epoch())
        except (PrunedError, *FAILURES):
            shutil.rmtree(out, ignore_errors=True)
            raise
        except Exception as error:
            if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's
                raise
            shutil.rmtree(out, ignore_errors=True)
            raise StageError(
                f"There is not enough memory for it: {str(error).splitlines()[0]}"
            ) from error

    return replace(stage, run=train)
