"""The `tune` section of a recipe: which keys to search, over what, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from towermill.section import Section


class ParameterRange(Section):
    """The values that one key may take.

    Parameters
    ----------
    low, high
        Inclusive bounds. Integer keys draw integers.
    step
        Draw only `low`, `low` + `step` … `high`; 1 for integer keys.
    log
        Sample on a log scale.
    choices
        Instead of bounds: unordered values of any kind.
    """

    low: float | None = None
    high: float | None = None
    step: PositiveFloat | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> ParameterRange:
        if self.choices is not None:
            # By value, not by what was set: a recipe that was read back has every key.
            if self.log or any(v is not None for v in (self.low, self.high, self.step)):
                raise ValueError("`choices` cannot be combined with `low`, `high`, `step`, `log`")
            if len(self.choices) < 2 or any(
                c in self.choices[:i] for i, c in enumerate(self.choices)
            ):
                raise ValueError("`choices` should be two or more different values")
            return self
        if self.low is None or self.high is None:
            raise ValueError("Expected `low` and `high`, or `choices`")
        if not self.low < self.high:
            raise ValueError(
                f"`low` should be below `high`. Received: {self.low:g} and {self.high:g}"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"`low` should be above 0 with `log`. Received: {self.low:g}")
        if self.step is not None:
            if self.log:
                raise ValueError("`step` and `log` should not both be set")
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6:
                raise ValueError(
                    f"`high` should be `low` and a whole number of `step`s. Received: {self.low:g} "
                    f"to {self.high:g} by {self.step:g}"
                )
        return self


class SamplerConfig(Section):
    """The sampler that proposes the next trial.

    Parameters
    ----------
    kind
        ``tpe``: the tree-structured Parzen estimator over all keys jointly (Bergstra et al., NIPS
        2011; Falkner et al., ICML 2018), or ``random``.
    startup_trials
        For ``tpe``: number of random trials before it models.
    """

    kind: Literal["tpe", "random"] = "tpe"
    startup_trials: PositiveInt = 10


class PrunerConfig(Section):
    """The pruner that ends unpromising trials.

    Parameters
    ----------
    kind
        ``median``: its best validation so far is below the median of the earlier trials' at the
        same epoch (Golovin et al., KDD 2017); ``hyperband`` (Li et al., JMLR 2018); or ``none``.
    startup_trials
        For ``median``: number of finished trials before any is pruned.
    warmup_epochs
        Epochs that each trial has.
    """

    kind: Literal["median", "hyperband", "none"] = "median"
    startup_trials: PositiveInt = 5
    warmup_epochs: PositiveInt = 3


class TuneConfig(Section):
    """A search for better values of some keys of `model` and `train`.

    Parameters
    ----------
    parameters
        Dotted key to its range: ``train.learning_rate: {low: 0.0001, high: 0.01, log: true}``.
    sampler, pruner
        What proposes trials, and what ends them early.
    """

    parameters: dict[str, ParameterRange] = Field(min_length=1)
    sampler: SamplerConfig = SamplerConfig()
    pruner: PrunerConfig = PrunerConfig()

    @field_validator("parameters", mode="before")
    @classmethod
    def _dotted(cls, value: Any) -> Any:
        """Take sections within sections for dotted keys, as ``--set`` writes them."""
        if not isinstance(value, Mapping):
            return value
        found: dict[str, Any] = {}
        for key, content in _flat(value):
            known = found.get(key)
            both = isinstance(known, Mapping) and isinstance(content, Mapping)
            found[key] = {**known, **content} if both else content  # type: ignore[dict-item]
        return found


def _flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and not value.keys() & ParameterRange.model_fields:
            yield from _flat(value, f"{key}.")
        else:
            yield key, value
