"""What a synthetic world's users and items look like from outside: features that carry taste."""

from __future__ import annotations

import numpy as np
import polars as pl

from towermill.columns import ITEM_ID, USER_ID
from towermill.workflows.sources.generated.world import BRANDS_PER_CATEGORY, World

_NOUNS = ("Lamp", "Chair", "Kettle", "Jacket", "Novel", "Drill", "Tent", "Radio", "Clock", "Rug")
_TAGS_AN_ITEM = 3


def retail_items(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return item_id, title, category, brand, price and tags.

    The price rises with the first latent factor; the tags name the item's three largest factors
    with their signs (``f2+``).
    """
    factors = world.item_factors
    count = len(factors)
    price = np.exp(3 + 0.5 * factors[:, 0] * np.sqrt(world.dim) + 0.3 * rng.standard_normal(count))
    top = np.argsort(-np.abs(factors), axis=1, kind="stable")[:, :_TAGS_AN_ITEM]
    signs = np.take_along_axis(factors, top, axis=1) > 0
    names = np.array([[f"f{k}-", f"f{k}+"] for k in range(world.dim)])
    number = pl.int_range(1, count + 1, eager=True)
    category = pl.Series(world.category)
    noun = pl.Series(np.array(_NOUNS)[world.category % len(_NOUNS)])
    return pl.DataFrame(
        {
            ITEM_ID: number,
            "title": pl.select(pl.format("{} no. {}", noun, number)).to_series(),
            "category": pl.select(pl.format("category-{}", category)).to_series(),
            "brand": pl.select(pl.format("brand-{}", pl.Series(world.brand))).to_series(),
            "price": price.round(2),
            "tags": pl.Series(names[top, signs.astype(np.int64)]).cast(pl.List(pl.String)),
        }
    )


def retail_users(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return user_id, age (18 to 80, rising with the first latent factor) and segment."""
    first = world.user_factors[:, 0] * np.sqrt(world.dim)
    age = 42 + 8 * first + 4 * rng.standard_normal(len(first))
    segment = pl.Series(world.segment)
    return pl.DataFrame(
        {
            USER_ID: pl.int_range(1, len(first) + 1, eager=True),
            "age": age.round().clip(18, 80).astype(np.int32),
            "segment": pl.select(pl.format("segment-{}", segment)).to_series(),
        }
    )


def aliccp_items(world: World) -> pl.DataFrame:
    """Return item_id, item_category, item_shop (five to a brand), item_intention and item_brand."""
    number = np.arange(1, len(world.category) + 1)
    return pl.DataFrame(
        {
            ITEM_ID: number,
            "item_category": world.category + 1,
            "item_shop": world.brand * 5 + number % 5 + 1,
            "item_intention": world.category // 2 + 1,
            "item_brand": world.brand + 1,
        }
    )


def aliccp_users(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return user_id and all user fields of Ali-CCP.

    The favourites (user_categories, user_brands, user_shops, user_intentions) are of the category
    nearest the user's first taste; profile and group follow from the segment, gender, age and
    consumption from single factors; occupation and geography say nothing.
    """
    factors = world.user_factors * np.sqrt(world.dim)
    count = len(factors)
    categories = int(world.category.max()) + 1
    centres = np.stack(
        [world.item_factors[world.category == k].sum(axis=0) for k in range(categories)]
    )
    liked = (world.user_factors @ centres.T).argmax(axis=1)
    brand = liked * BRANDS_PER_CATEGORY + rng.integers(BRANDS_PER_CATEGORY, size=count)
    return pl.DataFrame(
        {
            USER_ID: np.arange(1, count + 1),
            "user_profile": world.segment + 1,
            "user_group": world.segment % 13 + 1,
            "user_gender": 1 + (factors[:, 0] > 0),
            "user_age": np.digitize(factors[:, 1], [-1.5, -0.75, 0, 0.75, 1.5]) + 1,
            "user_consumption_1": np.digitize(factors[:, -1], [-0.5, 0.5]) + 1,
            "user_consumption_2": np.digitize(factors[:, -2], [-0.5, 0.5]) + 1,
            "user_is_occupied": rng.integers(1, 3, size=count),
            "user_geography": rng.integers(1, 5, size=count),
            "user_categories": liked + 1,
            "user_shops": brand * 5 + rng.integers(5, size=count) + 1,
            "user_brands": brand + 1,
            "user_intentions": liked // 2 + 1,
        }
    )
