"""Policies by name: those of a recipe's bundle, and the lower and upper bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from towermill.errors import RecipeError
from towermill.pipelines.recipe.simulate import ONLINE, PolicyName
from towermill.pipelines.recommend.catalogue import Catalogue
from towermill.pipelines.recommend.neighbours import Neighbours
from towermill.pipelines.simulation.environment import SlateEnvironment
from towermill.pipelines.simulation.feedback import Feedback
from towermill.pipelines.simulation.policy import Policy
from towermill.pipelines.simulation.sources import NearClicked, Scored, Source
from towermill.registry import reference

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe

Scores = Callable[[list[int]], NDArray[np.float32]]


def check_policies(recipe: Recipe, default: bool) -> None:
    """Raise `RecipeError` if the recipe's bundle cannot serve one of its policies.

    `default` is whether the environment is the default one.
    """
    if recipe.model.contract == "ranker":
        raise RecipeError(
            f"`towermill simulate` shows what a retriever finds; `model.kind: {recipe.model.kind}` "
            "is a ranker, which orders another model's candidates. Choose another `model.kind`."
        )
    given = recipe.text.vectors or getattr(recipe.source, "vectors", None)
    for name in recipe.simulate.policies:
        if name in ONLINE and recipe.model.online is None:
            raise RecipeError(
                f"`simulate.policies` names {name!r}, and only `model.kind: funk_svd` learns from "
                f"single clicks. The recipe's is {recipe.model.kind!r}: leave {name!r} out."
            )
        if name == "oracle" and not default:
            raise RecipeError(
                "`simulate.policies` names 'oracle', which knows the true tastes of the `slates` "
                "source's environment alone. Leave it out."
            )
        near = name.startswith("hybrid") and "content" in recipe.simulate.quotas
        if (near or name == "content") and not given:
            raise RecipeError(
                f"`simulate.policies` names {name!r}, which uses vectors of the items' text. "
                "Set `text.vectors` (to `lsa`, or a sentence model), or leave it out."
            )


class Policies:
    """Makes policies from a recipe's bundle.

    Parameters
    ----------
    recipe
        The bundle's recipe, whose `simulate` section says how slates are made.
    catalogue
        The bundle.
    environment
        The environment whose true utilities the oracle knows; None where they are not available.
    """

    def __init__(
        self, recipe: Recipe, catalogue: Catalogue, environment: SlateEnvironment | None
    ) -> None:
        self.recipe, self.config = recipe, recipe.simulate
        self.catalogue, self.environment = catalogue, environment
        self._neighbours: Neighbours | None = None

    def make(self, name: PolicyName, seed: int) -> Policy:
        """Return a policy, fresh."""
        if name == "oracle" and self.environment is not None:
            return self._oracle(self.environment, seed)
        factors = self._factors(seed) if name in ONLINE else None
        return Policy(
            self.catalogue.item_ids,
            Feedback(self.catalogue.user_rows, self.catalogue.seen),
            self._sources(name, factors, seed),
            size=self.config.slate,
            rule=self.config.rule,
            factors=factors,
            slate_negatives=self.config.slate_negatives,
            explore=self.config.explore,
            seed=seed,
        )

    def _sources(self, name: PolicyName, factors: Any, seed: int) -> list[tuple[Source, int]]:
        size = self.config.slate
        if name == "random":
            return [(Scored(self._random(seed)), size)]
        if name == "popular":
            return [(Scored(self._popular()), size)]
        if name == "content":
            # Where all neighbours were seen, random items.
            return [(self._content(seed), size), (Scored(self._random(seed)), 1)]
        model = Scored(self._frozen() if factors is None else factors.scores)
        if not name.startswith("hybrid"):
            return [(model, size)]
        made: dict[str, Source] = {"model": model}
        if "content" in self.config.quotas:
            made["content"] = self._content(seed)
        return [(made[source], quota) for source, quota in self.config.quotas.items()]

    def _frozen(self) -> Scores:
        queries, items = self.catalogue.query_embeddings, self.catalogue.item_embeddings
        return lambda rows: queries[np.minimum(rows, len(queries) - 1)] @ items.T

    def _factors(self, seed: int) -> Any:
        model = self.recipe.model
        return reference(str(model.online)).load()(  # as `check_policies` has seen
            self.catalogue.query_embeddings,
            self.catalogue.item_embeddings,
            model,
            self.config.learning_rate,
            seed,
        )

    def _content(self, seed: int) -> NearClicked:
        if self._neighbours is None:
            self._neighbours = Neighbours(self.catalogue.vectors, self.config.neighbours)
        return NearClicked(self._neighbours, [seed, 51])

    def _random(self, seed: int) -> Scores:
        rng, items = np.random.default_rng([seed, 52]), len(self.catalogue.item_ids)
        return lambda rows: rng.random((len(rows), items), np.float32)

    def _popular(self) -> Scores:
        counts = self.catalogue.counts
        return lambda rows: np.tile(counts, (len(rows), 1))

    def _oracle(self, environment: SlateEnvironment, seed: int) -> Policy:
        world, users = environment.world, environment.users
        known: dict[Any, int] = {user: row for row, user in enumerate(users.tolist())}
        read = [[item - 1 for item in environment.read[user]] for user in known]
        return Policy(
            range(1, len(world.appeal) + 1),
            Feedback(known, read),
            [(Scored(lambda rows: world.utility(users[rows] - 1)), self.config.slate)],
            size=self.config.slate,
            seed=seed,
        )
