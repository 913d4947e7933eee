"""An NVTabular graph with an operator of its own: discounts from two prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import nvtabular as nvt
from merlin.schema import Tags
from nvtabular import ops


class Discount(ops.Operator):
    """Turn `price` and `list_price` into `discount`, the share taken off."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Return a frame with the discounts."""
        price, listed = (df[name].astype("float32") for name in col_selector.names)
        return (1 - price / listed).to_frame("discount")

    def column_mapping(self, col_selector: Any) -> dict[str, list[str]]:
        """Return the output's name, and those of its inputs."""
        return {"discount": col_selector.names}

    @property
    def output_dtype(self) -> Any:
        """Type of the discounts."""
        return np.float32

    @property
    def output_tags(self) -> list[Tags]:
        """Tags by which models know a number."""
        return [Tags.CONTINUOUS]


def build(columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a node for the users' columns, and one for the items'."""
    users = ["user_id", "postcode"] >> ops.Categorify(dtype="int32")
    items = ["item_id", "brand"] >> ops.Categorify(dtype="int32")
    discount = nvt.ColumnSelector(["price", "list_price"]) >> Discount()
    return {"user": users, "item": items + discount}
