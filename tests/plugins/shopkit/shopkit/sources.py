"""The shop's data: a JSON line a checkout, and two CSV files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from towermill.errors import DataError
from towermill.features.config import Feature
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.tables import Tables

FILES = ("baskets.jsonl", "products.csv", "customers.csv")


class Baskets(SourceConfig):
    """Read baskets, products and customers from a folder.

    Parameters
    ----------
    path
        The folder with ``baskets.jsonl``, ``products.csv`` and ``customers.csv``.
    """

    kind: str = "baskets"
    path: Path

    def files(self) -> list[Path]:
        """Return the three files."""
        found = [self.path / name for name in FILES]
        missing = [file.name for file in found if not file.is_file()]
        if missing:
            raise DataError(
                f"`source.path` should hold {', '.join(FILES)}. {self.path} lacks: "
                f"{', '.join(missing)}."
            )
        return found

    def read(self, scratch: Path) -> Tables:
        """Return a row for each product of each basket, and propose features."""
        baskets, products, customers = self.files()
        return Tables(
            interactions=pl.scan_ndjson(baskets)
            .explode("products")
            .select(
                user_id="customer",
                item_id="products",
                timestamp=pl.col("at").str.to_datetime(time_unit="us"),
            ),
            items=pl.scan_csv(products).rename({"product": "item_id"}),
            users=pl.scan_csv(customers, schema_overrides={"postcode": pl.String}).rename(
                {"customer": "user_id"}
            ),
            features={
                "user": {"postcode": Feature(kind="region", options={"digits": 2})},
                "item": {
                    "name": Feature(kind="title"),
                    "brand": Feature(),
                    "price": Feature(kind="number", log=True),
                },
            },
        )
