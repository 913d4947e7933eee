"""A blend: several recommenders that share the places of a list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from towermill.errors import BundleError, RecipeError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Recommendations, Recommender
from towermill.pipelines.recipe.simulate import Rule
from towermill.pipelines.recommend.by_content import NearRead
from towermill.pipelines.recommend.catalogue import Catalogue
from towermill.pipelines.recommend.interleave import interleave
from towermill.pipelines.search.exact import check_k
from towermill.section import Section


class BlendSource(Section):
    """One source of a blend.

    Parameters
    ----------
    bundle
        A bundle's folder.
    quota
        Its places in each round.
    by
        ``score``, the model's; or ``content``, nearest to an item that the user has seen.
    """

    bundle: Path
    quota: PositiveInt = 1
    by: Literal["score", "content"] = "score"


class BlendConfig(Section):
    """The section `blend` of a YAML file.

    Parameters
    ----------
    sources
        In the order in which they fill places.
    rule
        See `towermill.pipelines.recommend.interleave.interleave`.
    neighbours
        Nearest items that ``by: content`` looks at.
    seed
        Seed of the draws.
    """

    sources: tuple[BlendSource, ...] = Field(min_length=1)
    rule: Rule = "in_order"
    neighbours: PositiveInt = 50
    seed: int = Field(0, ge=0)


class Blend:
    """Several recommenders that share the places of a list, no item twice.

    Parameters
    ----------
    sources
        Anything with `recommend`, such as a `Bundle`, and its places in each round: with quotas of
        2 and 3, two of five places are the first one's. Where one has no more items, the others
        fill its places.
    rule
        Whose turn it is: see `towermill.pipelines.recommend.interleave.interleave`.
    seed
        Seed of the turns of ``team_draft``.

    Raises
    ------
    RecipeError
        There are no sources, or a quota is no positive integer.
    """

    def __init__(
        self, sources: Sequence[tuple[Recommender, int]], rule: Rule = "in_order", seed: int = 0
    ) -> None:
        quotas = [quota for _, quota in sources]
        if not quotas or any(not isinstance(q, int) or q < 1 for q in quotas):
            raise RecipeError(
                f"A blend should have sources with quotas of at least 1. Received: {quotas}"
            )
        self.sources, self.quotas = [source for source, _ in sources], quotas
        self.rule, self.seed = rule, seed

    @classmethod
    def of(cls, config: BlendConfig) -> Blend:
        """Open the bundles that a section `blend` names.

        Raises
        ------
        BundleError
            One is missing or incomplete, or has no vectors to recommend by content.
        """
        bundles = {path: Bundle.open(path) for path in {s.bundle for s in config.sources}}
        made: list[tuple[Recommender, int]] = []
        for source in config.sources:
            bundle = bundles[source.bundle]
            near = source.by == "content"
            given = NearRead(Catalogue(bundle), config.neighbours, config.seed) if near else bundle
            made.append((given, source.quota))
        return cls(made, config.rule, config.seed)

    @property
    def title(self) -> str | None:
        """The item feature that people read, of the first source that has one."""
        return next((source.title for source in self.sources if source.title), None)

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return up to `k` items for a user, in the order of the places.

        Takes a user alone, and no `history`. Each item has the ``score`` that
        its source gives it, not to be compared with another's, and ``source``, the number of that,
        from 0. The user is known if a source knows them.

        Raises
        ------
        BundleError
            `k` is not a positive integer, or there is a `history`.
        """
        check_k(k)
        if history is not None:
            raise BundleError("A blend takes no `history`. Give a `user_id`.")
        found = [source.recommend(user_id, k, filter_seen) for source in self.sources]
        items = [{item["item_id"]: item for item in part.items} for part in found]
        chosen = interleave(
            [list(part) for part in items],
            self.quotas,
            k,
            self.rule,
            np.random.default_rng(self.seed),
        )
        rows = [{**items[source][item], "source": source} for item, source in chosen]
        known = any(part.known for part in found)
        return Recommendations(rows, known, "user" if known else "default")
