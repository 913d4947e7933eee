"""A blend: several recommenders that share the places of a list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from towermill.errors import BundleError, RecipeError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query, Recommendations, Recommender
from towermill.pipelines.recipe.simulate import Rule
from towermill.pipelines.recommend.combined.base import (
    BundlePath,
    Combination,
    CombinationConfig,
    open_part,
)
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

    bundle: BundlePath
    quota: PositiveInt = 1
    by: Literal["score", "content"] = "score"


class BlendConfig(CombinationConfig):
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

    places: ClassVar[Any] = {"sources": {"__all__": {"bundle"}}}

    sources: tuple[BlendSource, ...] = Field(min_length=1)
    rule: Rule = "in_order"
    neighbours: PositiveInt = 50
    seed: int = Field(0, ge=0)

    @property
    def bundles(self) -> tuple[Path, ...]:
        """The folders of its bundles."""
        return tuple(source.bundle for source in self.sources)


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


class BlendedBundles(Combination):
    """A blend of bundles, which is served like one.

    Parameters
    ----------
    config
        Names the bundles.
    name
        What it is called, such as its file.
    verify
        Verify the bundles' checksums.

    Attributes
    ----------
    blend
        Answers the queries.

    Raises
    ------
    BundleError
        A bundle is missing or not whole, or has no vectors to recommend by content.
    """

    kind = "blend"
    section = BlendConfig

    def __init__(self, config: BlendConfig, name: str = "blend", verify: bool = False) -> None:
        bundles = {path: open_part(path, verify) for path in {s.bundle for s in config.sources}}
        made: list[tuple[Recommender, int]] = []
        for source in config.sources:
            bundle = bundles[source.bundle]
            given = _by_content(bundle, config) if source.by == "content" else bundle
            made.append((given, source.quota))
        self.blend = Blend(made, config.rule, config.seed)
        parts = {f"{n}": bundles[source.bundle] for n, source in enumerate(config.sources)}
        # Users, items and similar items are those of a retriever, where there is one.
        lead = next((part for part in parts.values() if not part.ranks), parts["0"])
        super().__init__(lead, parts, config, name)

    def check(self, query: Query) -> None:
        """Raise `BundleError` if a query has more than a user and items to exclude."""
        given = {"history": query.history, "features": query.features}
        given["candidates"] = query.candidates
        for name, value in given.items():
            if value is not None:
                raise BundleError(f"A blend takes no `{name}`. Give a `user_id`.")
        self.lead.check(query)

    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        """Return what `Blend.recommend` gives for each query, items to exclude left out."""
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> Recommendations:
        self.check(query)
        unwanted = {str(item) for item in query.exclude}
        found = self.blend.recommend(query.user_id, query.k + len(unwanted), query.filter_seen)
        kept = [item for item in found.items if str(item["item_id"]) not in unwanted]
        return Recommendations(kept[: query.k], found.known, found.by)


def _by_content(bundle: Bundle, config: BlendConfig) -> Recommender:
    from towermill.pipelines.recommend.by_content import NearRead  # which needs TensorFlow
    from towermill.pipelines.recommend.catalogue import Catalogue

    return NearRead(Catalogue(bundle), config.neighbours, config.seed)
