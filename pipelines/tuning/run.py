"""Tune a recipe: run trials up to the wanted number, and return their results."""

from __future__ import annotations

import json
import logging
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from towermill.errors import DataError, PrunedError, RecipeError, StageError, TowermillError
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.plan import Selection, Step, plan
from towermill.pipelines.running.run import run
from towermill.pipelines.stages.keys import key_of
from towermill.pipelines.tuning.journal import require_optuna
from towermill.pipelines.tuning.results import Tuned, write_results
from towermill.pipelines.tuning.space import Space
from towermill.pipelines.tuning.study import SharedStudy, Trial, work_on
from towermill.pipelines.tuning.trial import FAILURES, Judge
from towermill.pipelines.tuning.workers import Order, Workers, workers
from towermill.runtime.cluster import cluster_failures
from towermill.runtime.device import resolve

logger = logging.getLogger(__name__)

#: As many failures, and no success, are not the trials' fault.
_FAILURES = 5
_TRAIN = Selection("train", "train")


def tune(recipe: Recipe, out: str | Path = "runs", trials: int = 20, jobs: int = 0) -> Tuned:
    """Try values of the keys that the recipe's section `tune` names, and return what came of it.

    Only `train` runs a trial, on what `prepare` and `process` made once, and each recipe trains
    once: `run` of the best one finds it trained. Trials are compared by `train.monitor` on the
    validation split. A second call continues until there are `trials` of them in total; several
    processes may do so at a time.

    ``<out>/<recipe>/tune/<key>/`` holds ``best.yaml``, ``trials.csv`` and the study's journal. The
    key is made of the ranges and of all that decides a training of the recipe.

    Parameters
    ----------
    recipe
        With a section `tune`. Its `runtime` says where trials train: with a cluster, on its
        workers.
    out
        The folder of runs, which all workers see.
    trials
        How many, those of earlier calls and the recipe as it is among them.
    jobs
        Trials at a time, each in a separate process; 0: one in this process, or on a cluster one
        per worker.

    Raises
    ------
    RecipeError
        See `Space`; or a number is wrong.
    SetupError
        Optuna is not installed, or see `run`.
    DataError
        The validation split has nothing to rank.
    StageError
        All trials fail, or the cluster breaks off.
    """
    for name, value, least in (("trials", trials, 1), ("jobs", jobs, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise RecipeError(f"`{name}` should be at least {least}. Received: {value!r}.")
    space = Space(recipe)
    require_optuna()
    out, base = Path(out), space.recipe({})
    runtime = resolve(recipe.runtime.device, recipe.runtime.cluster, recipe.runtime.seed)
    run(base, out, Selection(last="process"), wait=True)
    step = _train_step(base, out)
    key = key_of({"train": step.key, "tune": space.config.model_dump(mode="json")})
    folder = out / recipe.name / "tune" / key
    with work_on(folder, space, recipe.train.epochs, recipe.runtime.seed) as study:
        work = _Work(space, out, study, folder)
        if work.is_left(trials):
            with workers(recipe, out / recipe.name, runtime, jobs) as found:
                work.until(trials, found)
        else:
            logger.info("the study has its %d trials", len(study.trials()))
        return write_results(folder, space, study.trials())


@dataclass(frozen=True)
class _Work:
    """The trials of one call."""

    space: Space
    out: Path
    study: SharedStudy
    folder: Path

    def is_left(self, trials: int) -> bool:
        known = self.study.trials()
        return len(known) < trials or not all(trial.state.is_finished() for trial in known)

    def until(self, trials: int, found: Workers) -> None:
        """Run trials until the requested number is reached."""
        at_work: dict[Future[TowermillError | None], tuple[Trial, Step]] = {}
        while True:
            while len(at_work) < found.at_a_time and (trial := self.study.next(trials)) is not None:
                logger.info("trial %d: %s", trial.number, _in_words(trial))
                try:
                    future, step = self._begin(trial, found)
                except RecipeError as error:
                    self._fail(trial, error)
                else:
                    at_work[future] = trial, step
            if not at_work:
                break
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                self._end(*at_work.pop(future), _error_of(future))
                write_results(self.folder, self.space, self.study.trials())
        if len(self.study.trials()) < trials:
            logger.info("the ranges hold no more recipes to try")

    def _begin(self, trial: Trial, found: Workers) -> tuple[Future[TowermillError | None], Step]:
        recipe = self.space.recipe(trial.values)
        step = _train_step(recipe, self.out)
        if not step.runs:
            done: Future[TowermillError | None] = Future()
            done.set_result(None)
            return done, step
        judge = Judge(
            folder=self.folder.absolute(),
            number=trial.number,
            metric=self.space.metric,
            pruner=self.space.config.pruner,
            epochs=recipe.train.epochs,
            spared=trial.own,
        )
        level = logging.getLogger("towermill").getEffectiveLevel()
        return found.submit(Order(step, recipe, judge, level)), step

    def _end(self, trial: Trial, step: Step, error: TowermillError | None) -> None:
        if error is None:
            state = json.loads((step.folder / "history.json").read_text())
            if state["best"] is None:
                raise DataError(
                    f"Trials are compared by {self.space.metric} on the validation split, and "
                    "training had none: the split is empty, or the model learns nothing."
                )
            by_epoch = {
                record["epoch"]: record["metrics"][self.space.metric]
                for record in state["history"]
                if "metrics" in record and "part" not in record
            }
            self.study.complete(trial.number, state["best"], by_epoch)
            logger.info("trial %d: %s %.4f", trial.number, self.space.metric, state["best"])
        elif isinstance(error, PrunedError):
            self.study.prune(trial.number)
            logger.info("trial %d: ended early", trial.number)
        elif isinstance(error, FAILURES):
            self._fail(trial, error)
        else:
            raise error

    def _fail(self, trial: Trial, error: TowermillError) -> None:
        self.study.fail(trial.number, str(error))
        logger.warning("trial %d failed: %s", trial.number, error)
        states = [found.state.name for found in self.study.trials()]
        if states.count("FAIL") >= _FAILURES and not {"COMPLETE", "PRUNED"} & set(states):
            raise StageError(
                f"All of the first {_FAILURES} trials failed, the last with: {error} "
                "The ranges or the recipe have to change."
            )


def _in_words(trial: Trial) -> str:
    if trial.own:
        return "the recipe as it is"
    values = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in trial.values.items()}
    return ", ".join(f"{key}={value}" for key, value in values.items())


def _train_step(recipe: Recipe, out: Path) -> Step:
    """Return the stage `train` as planned."""
    steps = {step.stage.name: step for step in plan(recipe, out, _TRAIN)}
    return steps["train"]


def _error_of(future: Future[TowermillError | None]) -> TowermillError | None:
    """Return the error of a training; raise what is no training's, the cluster's end among it."""
    try:
        return future.result()
    except TowermillError as error:
        return error
    except BaseException as error:
        if type(error).__name__ == "KilledWorker":  # Dask's
            return StageError(f"Workers died over it, one after another ({error}).")
        with cluster_failures():
            raise
