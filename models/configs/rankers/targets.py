"""What rankers of several targets share: their names, and the one that items are ranked by."""

from __future__ import annotations

from pydantic import model_validator

from towermill.models.configs.base import ModelConfig


class TargetsConfig(ModelConfig):
    """A ranker of one or more targets.

    Parameters
    ----------
    targets
        Signals of the interactions, 0 or 1, such as ``[click, conversion]``.
    ranks_by
        The target by whose probability items are ranked; left out, the first.
    """

    targets: tuple[str, ...]
    ranks_by: str | None = None

    @model_validator(mode="after")
    def _targets_differ(self) -> TargetsConfig:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"`targets` should differ. Received: {', '.join(self.targets)}")
        if self.ranks_by not in (None, *self.targets):
            raise ValueError(
                f"`ranks_by` should be one of `targets`: {', '.join(self.targets) or 'none'}. "
                f"Received: {self.ranks_by!r}"
            )
        return self

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.targets, key=lambda name: name != self.ranks_by))
