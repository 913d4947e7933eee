"""The kind ``category``: one value of a vocabulary."""

from __future__ import annotations

from typing import ClassVar

from towermill.features.shared.categorical import Categorical


class Category(Categorical):
    """The column's value, by its id in the vocabulary."""

    kind: ClassVar[str] = "category"
    shares_vocabulary = True
