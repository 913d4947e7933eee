"""The `simulate` section of a recipe."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from towermill.section import Section

PolicyName = Literal[
    "random",
    "popular",
    "content",
    "model",
    "model_online",
    "hybrid",
    "hybrid_online",
    "oracle",
]
POLICIES: Final[tuple[PolicyName, ...]] = get_args(PolicyName)
#: Policies that learn from clicks.
ONLINE: Final = ("model_online", "hybrid_online")


class SimulateConfig(Section):
    """Settings of `towermill simulate`, which tries a recipe's bundle on simulated users.

    Parameters
    ----------
    horizon
        Most slates of a user; a user's score is the share of it survived.
    slate
        Items of a slate.
    patience
        Slates without a click that a user of the default environment bears.
    train_users
        Number of users, the first by id, of training episodes; all others are tested.
    episodes
        Training episodes of policies that learn; the same number of test episodes.
    policies
        Policies to try, in this order.
    quotas
        Places of a hybrid slate, by source: the recipe's ``model`` and ``content``.
    rule
        In which order sources fill places: see `interleave`.
    neighbours
        Nearest items of an item by its vector, of which ``content`` takes those not seen.
    learning_rate
        Learning rate of the gradient step after a click.
    slate_negatives
        Whether the items shown with a clicked one come first among its negatives; else all of
        them are drawn from the catalogue.
    explore
        In training episodes, the share of places that go to a random item.
    """

    horizon: PositiveInt = 2000
    slate: PositiveInt = 5
    patience: PositiveFloat = 6.0
    train_users: int = Field(1000, ge=0)
    episodes: PositiveInt = 5
    policies: tuple[PolicyName, ...] = Field(POLICIES, min_length=1)
    quotas: dict[Literal["model", "content"], PositiveInt] = Field(
        default={"model": 2, "content": 3}, min_length=1
    )
    rule: Rule = "in_order"
    neighbours: PositiveInt = 50
    learning_rate: PositiveFloat = 0.03
    slate_negatives: bool = True
    explore: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _once_each(self) -> SimulateConfig:
        if len(set(self.policies)) < len(self.policies):
            raise ValueError(
                f"`policies` should name a policy once. Received: {list(self.policies)}"
            )
        return self


Rule = Literal["in_order", "round_robin", "team_draft"]
