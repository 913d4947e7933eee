"""A seeded world with planted tastes: who its users and items are, and what they would choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Standard deviation, about, of true affinities: how much tastes matter next to popularity.
SCALE = 3.0
BRANDS_PER_CATEGORY = 4
#: Cold items come up between these shares of the time.
COLD_FROM, COLD_TO = 0.8, 0.95


@dataclass(frozen=True)
class World:
    """Users and items by index, from 0, with the factors behind all that they do.

    Attributes
    ----------
    user_factors, user_later
        (users, dim) float32, unit rows: a user's taste at the start, and that towards which the
        drift turns it.
    item_factors
        (items, dim) float32, unit rows.
    segment, activity
        (users,): the user's segment, and the share of all events that are theirs.
    category, brand
        (items,): brand is numbered through all categories.
    log_popularity, trend
        (items,) float32: Zipf's law over a random ranking, and which way drift moves it.
    release
        (items,) float32: the share of the time after which the item exists; 0 if from the start.
    drift
        By how much tastes turn (1: a right angle) and popularities move over the whole time.
    """

    user_factors: Floats
    user_later: Floats
    item_factors: Floats
    segment: Ints
    activity: Floats
    category: Ints
    brand: Ints
    log_popularity: Floats
    trend: Floats
    release: Floats
    drift: float

    def tastes(self, users: Ints, time: float) -> Floats:
        """Return (len(users), dim) unit tastes at `time`, from 0 (start) to 1 (end)."""
        angle = np.float32(self.drift * time * np.pi / 2)
        now = self.user_factors[users] * np.cos(angle) + self.user_later[users] * np.sin(angle)
        return unit(now)

    def affinity(self, users: Ints, items: Ints, time: float = 1.0) -> Floats:
        """Return the true affinity of every one of `users` to every one of `items`.

        Parameters
        ----------
        users, items
            Indices (an id less 1).
        time
            From 0 (start) to 1 (end of the data).

        Returns
        -------
        (len(users), len(items)) float32. A user offered items chooses by affinity plus noise;
        popularity is no part of it: it decides what a user is offered.
        """
        return np.asarray(self.scale * (self.tastes(users, time) @ self.item_factors[items].T))

    def popularity(self, time: float) -> npt.NDArray[np.float64]:
        """Return each item's chance (items,) to be what a user is offered at `time`."""
        moved = self.log_popularity + 2 * self.drift * self.trend * np.float32(time - 0.5)
        weight = np.where(self.release <= time, np.exp(moved.astype(np.float64)), 0.0)
        return np.asarray(weight / weight.sum())

    def utility(self, users: Ints, items: Ints, time: float = 1.0) -> Floats:
        """Return affinity plus log popularity: about the best ranking of what comes next."""
        with np.errstate(divide="ignore"):
            offered = np.log(self.popularity(time)[items]).astype(np.float32)
        return np.asarray(self.affinity(users, items, time) + offered)

    @property
    def scale(self) -> np.float32:
        """Affinity of a user to an item that is exactly what they like."""
        return np.float32(SCALE * np.sqrt(self.dim))

    @property
    def dim(self) -> int:
        """Number of latent factors."""
        return int(self.item_factors.shape[1])


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    """Return `rows` at length 1, as float32."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-9), np.float32)


def zipf_weights(count: int, exponent: float, rng: np.random.Generator) -> Floats:
    """Return weights (count,) float32 that fall as rank**-exponent, in random order."""
    ranks = rng.permutation(count) + 1
    return (ranks.astype(np.float64) ** -exponent).astype(np.float32)


def build_world(
    *,
    users: int,
    items: int,
    categories: int,
    dim: int,
    zipf: float,
    drift: float,
    cold_items: float,
    seed: int,
) -> World:
    """Return the world of a seed.

    An item stands near the centre of its brand, which stands near that of its category; a user
    near those two category centres that their segment likes (there are as many segments as
    categories), so that item and user features carry much of the taste, and ids the rest.
    """
    rng = np.random.default_rng([seed, 0])
    centres = unit(rng.standard_normal((categories, dim)))
    spread = 1 / np.sqrt(dim)
    brands = np.repeat(centres, BRANDS_PER_CATEGORY, axis=0)
    brands = brands + 0.5 * spread * rng.standard_normal(brands.shape)
    category = rng.integers(categories, size=items)
    brand = category * BRANDS_PER_CATEGORY + rng.integers(BRANDS_PER_CATEGORY, size=items)
    item_factors = unit(brands[brand] + 0.5 * spread * rng.standard_normal((items, dim)))

    likes = np.stack([np.arange(categories), rng.permutation(categories)], axis=1)
    segment = rng.integers(categories, size=users)
    leaning = rng.uniform(0.5, 1.0, size=(users, 1))
    taste = leaning * centres[likes[segment, 0]] + (1 - leaning) * centres[likes[segment, 1]]
    user_factors = unit(taste + 0.5 * spread * rng.standard_normal((users, dim)))
    # Where a user's taste is bound for: that of another segment.
    bound = centres[rng.permutation(categories)[segment]]
    user_later = unit(bound + 0.5 * spread * rng.standard_normal((users, dim)))

    activity = zipf_weights(users, 0.5, rng)
    popularity = zipf_weights(items, zipf, rng)
    trend = rng.standard_normal(items).astype(np.float32)
    release = np.zeros(items, np.float32)
    cold = rng.permutation(items)[: int(cold_items * items)]
    release[cold] = rng.uniform(COLD_FROM, COLD_TO, size=len(cold))
    return World(
        user_factors=user_factors,
        user_later=user_later,
        item_factors=item_factors,
        segment=segment,
        activity=activity / activity.sum(),
        category=category,
        brand=brand,
        log_popularity=np.log(popularity),
        trend=trend,
        release=release,
        drift=drift,
    )


def draw(weights: npt.ArrayLike, size: int | tuple[int, ...], rng: np.random.Generator) -> Ints:
    """Return indices drawn with chances in proportion to `weights`."""
    chances = np.asarray(weights, np.float64)
    count = int(np.prod(size))
    if count >= len(chances):
        # The same distribution, but without a search through `chances` for each draw.
        often = rng.multinomial(count, chances / chances.sum())
        return rng.permutation(np.repeat(np.arange(len(chances)), often)).reshape(size)
    edges = np.cumsum(chances)
    found = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
    # Rounding may put a point on the last edge, past the last index.
    return np.asarray(np.minimum(found, len(edges) - 1)).reshape(size)
