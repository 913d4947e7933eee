"""Choose the next trial: drawn once, shared by processes, resumed after a kill."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towermill.errors import TowermillError
from towermill.pipelines.running.execute import locked
from towermill.pipelines.tuning.journal import open_study
from towermill.pipelines.tuning.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

#: A trial whose process has ended this often without finishing another epoch is not restarted.
ATTEMPTS = 3
#: Random draws before the search space counts as exhausted.
_DRAWS = 200
# Attributes of a trial: the lock of who trains it; how often it was begun at how many epochs (a
# trial without was never handed out); whether it is the recipe as it is; and why it failed.
_OWNER, _BEGUN, _OWN, _REASON = "owner", "begun", "own", "reason"


@dataclass(frozen=True)
class Trial:
    """A trial to be trained.

    Attributes
    ----------
    number
        Its number in the study.
    values
        Values by dotted key; of the recipe as it is none.
    own
        Whether it is the recipe as it is, which is never ended early.
    """

    number: int
    values: dict[str, Any]
    own: bool


class SharedStudy:
    """A study in a folder, which several processes may work on at a time.

    Who works on it holds a lock for as long, by which others see that its trials are at work. What
    a trial draws depends on the seed and on the trials before it, so that a study that was cut off
    goes on as it would have.

    Parameters
    ----------
    folder
        The study's folder.
    space
        The search space.
    epochs
        Maximum number of epochs of a trial.
    seed
        Seed of the sampler.
    owner
        The name of the lock that this process holds in `folder`.
    """

    def __init__(self, folder: Path, space: Space, epochs: int, seed: int, owner: str) -> None:
        self._folder, self._space, self._seed, self._owner = folder, space, seed, owner
        self._distributions = space.distributions()
        self._study, self._storage = open_study(folder, space.config.pruner, epochs)
        self._id = self._storage.get_study_id_from_name(self._study.study_name)

    def next(self, wanted: int) -> Trial | None:
        """Return the next trial to train; None when `wanted` are done or at work, or none is left.

        The first is the recipe as it is. Those whose process has ended come before new ones.
        """
        with locked(self._folder, "draw", wait=True):
            for trial in self._study.get_trials(deepcopy=False):
                if trial.state.is_finished() or self._at_work(trial):
                    continue
                if _BEGUN not in trial.user_attrs:
                    self._drop(trial.number)
                    continue
                times, at = trial.user_attrs[_BEGUN]
                if len(trial.intermediate_values) > at:
                    times = 0
                if times < ATTEMPTS:
                    return self._hand_out(trial.number, times + 1)
                self.fail(trial.number, f"its process ended {times} times at epoch {at + 1}")
            if len(self.trials()) >= wanted:
                return None
            number = self._draw()
            return None if number is None else self._hand_out(number, 1)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that were ever handed out."""
        found = self._study.get_trials(deepcopy=False)
        return [trial for trial in found if _BEGUN in trial.user_attrs]

    def complete(self, number: int, value: float, by_epoch: Mapping[int, float]) -> None:
        """Note a trial's best validation, and those of its epochs."""
        known = self._trial(number).intermediate_values
        for epoch in by_epoch.keys() - known.keys():
            self._storage.set_trial_intermediate_value(
                self._trial_id(number), epoch, by_epoch[epoch]
            )
        self._study.tell(number, value, skip_if_finished=True)

    def prune(self, number: int) -> None:
        """Note that a trial was ended early."""
        from optuna.trial import TrialState

        self._study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)

    def fail(self, number: int, reason: str) -> None:
        """Note that a trial has come to nothing, and why."""
        self._note(number, _REASON, reason)
        self._drop(number)

    def _at_work(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(_OWNER)
        if owner is None:
            return False
        try:
            with locked(self._folder, owner, wait=False):
                return False
        except TowermillError:
            return True

    def _hand_out(self, number: int, times: int) -> Trial:
        drawn = self._trial(number)
        self._note(number, _OWNER, self._owner)
        self._note(number, _BEGUN, (times, len(drawn.intermediate_values)))
        own = bool(drawn.user_attrs.get(_OWN))
        return Trial(number, {} if own else self._space.values(drawn.params), own)

    def _draw(self) -> int | None:
        trials = self.trials()
        if not any(trial.user_attrs.get(_OWN) for trial in trials):
            own = self._space.own_parameters()
            number = self._study.ask().number if own is None else self._ask_for(own)
            self._note(number, _OWN, True)
            return number
        tried = [trial.params for trial in trials]
        number = self._ask(self._sampler())
        if self._trial(number).params not in tried:
            return number
        self._drop(number)
        fresh = self._untried(tried)
        return None if fresh is None else self._ask_for(fresh)

    def _untried(self, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Return untried values at random; with few choices TPE repeats its draws."""
        from optuna.samplers import RandomSampler

        sampler = RandomSampler(self._seed_of_draw())
        for _ in range(_DRAWS):
            drawn = {
                key: sampler.sample_independent(self._study, None, key, distribution)  # type: ignore[arg-type]
                for key, distribution in self._distributions.items()
            }
            if drawn not in tried:
                return drawn
        return None

    def _ask_for(self, values: Mapping[str, Any]) -> int:
        from towermill.pipelines.tuning.samplers import GivenSampler

        return self._ask(GivenSampler(values))

    def _ask(self, sampler: BaseSampler) -> int:
        self._study.sampler = sampler
        return self._study.ask(self._distributions).number

    def _sampler(self) -> BaseSampler:
        from optuna.samplers import RandomSampler

        from towermill.pipelines.tuning.samplers import JointTPESampler

        config, seed = self._space.config.sampler, self._seed_of_draw()
        if config.kind == "random":
            return RandomSampler(seed)
        return JointTPESampler(self._distributions, seed=seed, startup_trials=config.startup_trials)

    def _seed_of_draw(self) -> int:
        return (self._seed + 7919 * len(self._study.get_trials(deepcopy=False))) % 2**32

    def _drop(self, number: int) -> None:
        from optuna.trial import TrialState

        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _trial_id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._id, number))

    def _trial(self, number: int) -> FrozenTrial:
        found: FrozenTrial = self._storage.get_trial(self._trial_id(number))
        return found

    def _note(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._trial_id(number), name, value)


@contextlib.contextmanager
def work_on(folder: Path, space: Space, epochs: int, seed: int) -> Iterator[SharedStudy]:
    """Open a study and hold a lock of one's own, which says that one's trials are at work."""
    owner = f"owner-{uuid.uuid4().hex}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, owner, wait=False):
        yield SharedStudy(folder, space, epochs, seed, owner)
        (folder / ".locks" / owner).unlink()


def is_own(trial: FrozenTrial) -> bool:
    """Return whether a trial is the recipe as it is."""
    return bool(trial.user_attrs.get(_OWN))


def reason_of(trial: FrozenTrial) -> str:
    """Return why a trial failed; empty if it did not."""
    return str(trial.user_attrs.get(_REASON, ""))
