"""The folder that shopkit's source reads: customers of a region buy what that region likes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

#: Region to the brand that its customers prefer.
BRANDS = {"01": "acorn", "27": "birch", "80": "cedar"}
CUSTOMERS, PRODUCTS, BASKETS = 240, 60, 2400


def write_shop(folder: Path) -> None:
    """Write ``baskets.jsonl``, ``products.csv`` and ``customers.csv``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    regions, brands = list(BRANDS), list(BRANDS.values())
    products = pl.DataFrame(
        {
            "product": [f"p{n}" for n in range(PRODUCTS)],
            "name": [f"Chair {n}" for n in range(PRODUCTS)],
            "brand": [brands[n % len(brands)] for n in range(PRODUCTS)],
            "list_price": (20 + rng.integers(0, 80, PRODUCTS)).astype(float),
        }
    ).with_columns(price=(pl.col("list_price") * rng.uniform(0.5, 1, PRODUCTS)).round(2))
    products.write_csv(folder / "products.csv")
    postcodes: list[str | None] = [
        f"{regions[n % len(regions)]}{rng.integers(1000):03}" for n in range(CUSTOMERS)
    ]
    postcodes[-1] = None
    customers = pl.DataFrame({"customer": [f"c{n}" for n in range(CUSTOMERS)]})
    customers.with_columns(postcode=pl.Series(postcodes)).write_csv(folder / "customers.csv")
    lines = []
    for n in range(BASKETS):
        customer = int(rng.integers(CUSTOMERS))
        liked = np.arange(PRODUCTS) % len(brands) == customer % len(brands)
        weights = np.where(liked, 10.0, 1.0)
        bought = rng.choice(PRODUCTS, int(rng.integers(1, 4)), False, weights / weights.sum())
        at = datetime(2026, 1, 1) + timedelta(hours=n)
        basket = {"customer": f"c{customer}", "at": at.isoformat()}
        lines.append(json.dumps({**basket, "products": [f"p{one}" for one in bought]}))
    (folder / "baskets.jsonl").write_text("\n".join(lines) + "\n")
