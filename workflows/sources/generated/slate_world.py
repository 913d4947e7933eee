"""Readers shown slates of news: what each would click of one, and what the articles say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from towermill.columns import ITEM_ID
from towermill.workflows.sources.generated.news_world import invent_words
from towermill.workflows.sources.generated.world import (
    BRANDS_PER_CATEGORY,
    SCALE,
    Floats,
    Ints,
    World,
    build_world,
    draw,
)

#: Deviation of an article's appeal to everyone, as a share of that of tastes (as in `news`).
_APPEAL: Final = 1 / 3
#: Share of slates of random articles that are clicked, which sets the utility of no click.
_RANDOM_CLICKS: Final = 0.1
_SAMPLE: Final = 20_000
SLATE: Final = 5
#: Words that all articles share, that a category has to itself, and a brand (a series, say).
_COMMON, _OF_CATEGORY, _OF_BRAND = 300, 40, 15
#: Of a text's words, how many are common ones, the category's, and the brand's.
_SHARES: Final = (0.5, 0.3, 0.2)
_HEADLINE, _DESCRIPTION = (5, 12), (8, 20)


@dataclass(frozen=True)
class SlateWorld:
    """Users and items by index, from 0, and the utilities behind every click.

    Of a slate a user clicks item i with chance exp(u_i) / (exp(u_0) + sum of exp(u)), at most one,
    and nothing with the rest: the conditional logit model (McFadden, 1974), which RecSim and SlateQ
    choose by as well (Ie et al., 2019; Ie et al., IJCAI 2019).

    Attributes
    ----------
    world
        Tastes and items.
    appeal
        (items,) float32: what every user's utility has of an item.
    nothing
        The utility u_0 of no click.
    """

    world: World
    appeal: Floats
    nothing: float

    def utility(self, users: Ints) -> Floats:
        """Return (len(users), items) float32: affinity plus appeal."""
        everything = np.arange(len(self.appeal))
        return self.world.affinity(users, everything) + self.appeal

    def utility_of(self, users: Ints, items: Ints) -> Floats:
        """Return (rows, n) float32: of each row's user for that row's items (rows, n)."""
        return utilities(self.world, self.appeal, users, items)


def utilities(world: World, appeal: Floats, users: Ints, items: Ints) -> Floats:
    """Return affinity plus appeal of items (rows, n) to users (rows,)."""
    tastes = world.tastes(users, 1.0)
    affinity = world.scale * np.einsum("rd,rnd->rn", tastes, world.item_factors[items])
    return np.asarray(affinity + appeal[items], np.float32)


def build_slate_world(*, users: int, items: int, categories: int, seed: int) -> SlateWorld:
    """Return the world of a seed: that of the `synthetic` source, without drift, with appeals."""
    world = build_world(
        users=users,
        items=items,
        categories=categories,
        dim=8,
        zipf=0.6,
        drift=0.0,
        cold_items=0.0,
        seed=seed,
    )
    rng = np.random.default_rng([seed, 11])
    appeal = (_APPEAL * SCALE * rng.standard_normal(items)).astype(np.float32)
    who = rng.integers(users, size=_SAMPLE)
    shown = rng.integers(items, size=(_SAMPLE, SLATE))
    best = np.logaddexp.reduce(utilities(world, appeal, who, shown).astype(np.float64), axis=1)
    low, high = float(best.min()) - 20, float(best.max()) + 20
    for _ in range(60):  # the share that is clicked falls as u_0 rises
        nothing = (low + high) / 2
        clicked = np.mean(1 / (1 + np.exp(nothing - best)))
        low, high = (nothing, high) if clicked > _RANDOM_CLICKS else (low, nothing)
    return SlateWorld(world, appeal, nothing)


def choose(world: SlateWorld, users: Ints, shown: Ints, rng: np.random.Generator) -> Ints:
    """Return the place (rows,) that is clicked in each slate, -1 for none.

    Parameters
    ----------
    users
        (rows,).
    shown
        (rows, n) items; -1 means none.
    """
    utility = world.utility_of(users, np.maximum(shown, 0))
    utility = np.where(shown >= 0, utility, -np.inf)
    # The greatest of such sums is a draw by the logit model.
    noisy = utility + rng.gumbel(size=shown.shape)
    nothing = world.nothing + rng.gumbel(size=len(users))
    if not shown.shape[1]:
        return np.full(len(users), -1)
    place = noisy.argmax(axis=1)
    return np.where(noisy[np.arange(len(users)), place] > nothing, place, -1)


def describe(world: SlateWorld, rng: np.random.Generator) -> pl.DataFrame:
    """Return item_id (from 1), headline, short_description and category.

    Half of an article's words are common to all, the rest are of its category or its brand: texts
    tell where among the others an article stands, but not what is its own.
    """
    category, brand = world.world.category, world.world.brand
    categories = int(category.max()) + 1
    brands = categories * BRANDS_PER_CATEGORY
    words = pl.Series(invent_words(_COMMON + categories * _OF_CATEGORY + brands * _OF_BRAND, rng))
    columns = {}
    for name, (least, most) in (("headline", _HEADLINE), ("short_description", _DESCRIPTION)):
        shape = (len(category), most)
        kind = draw(_SHARES, shape, rng)
        of_category = _COMMON + category[:, None] * _OF_CATEGORY + _zipf(_OF_CATEGORY, shape, rng)
        of_brand = _COMMON + categories * _OF_CATEGORY + brand[:, None] * _OF_BRAND
        of_brand = of_brand + _zipf(_OF_BRAND, shape, rng)
        word = np.choose(kind, [_zipf(_COMMON, shape, rng), of_category, of_brand])
        length = rng.integers(least, most + 1, size=len(category))
        text = words.gather(pl.Series(word.ravel())).reshape(shape).arr.to_list()
        cut = pl.col("text").list.head("length").list.join(" ")
        columns[name] = pl.DataFrame({"text": text, "length": length}).select(cut).to_series()
    number = pl.int_range(1, len(category) + 1, eager=True)
    named = pl.select(pl.format("category-{}", pl.Series(category))).to_series()
    return pl.DataFrame({ITEM_ID: number, **columns, "category": named})


def _zipf(count: int, shape: tuple[int, int], rng: np.random.Generator) -> Ints:
    return draw(1 / np.arange(1, count + 1), shape, rng)
