"""Optuna's samplers, adapted to Towermill. Imports Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class JointTPESampler(TPESampler):
    """TPE over all keys jointly from the first, whatever earlier trials lack.

    Optuna's takes the keys that all trials have, and the recipe as it is may have none within its
    ranges. A new one is created for each trial, with its own seed: one sampler with a fixed seed
    would repeat its first draws when a study is resumed.

    Parameters
    ----------
    space
        Key to distribution.
    seed, startup_trials
        See `TPESampler`.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], *, seed: int, startup_trials: int
    ) -> None:
        super().__init__(seed=seed, n_startup_trials=startup_trials)
        self._space = {key: found for key, found in sorted(space.items()) if not found.single()}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all keys."""
        return dict(self._space)


class GivenSampler(RandomSampler):
    """Draw the given values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._values = values

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value given for `param_name`."""
        return self._values[param_name]
