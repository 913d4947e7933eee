"""The kind ``raw``: a column that a custom graph reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from towermill.features.base import FeatureKind, Fitted, taken_encoded
from towermill.features.inputs import RawEncoding

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature


class Raw(FeatureKind):
    """Left as it is, for a graph of your own (`features.graph`) to read."""

    kind: ClassVar[str] = "raw"
    reads = "any values"
    needs_graph = True

    def has_vocabulary(self, feature: Feature) -> bool:
        """Return False: a vocabulary is the graph's own."""
        del feature
        return False

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return the column."""
        del dtype, feature
        import polars as pl

        return pl.col(column)

    def describe(self, feature: Feature, fitted: Fitted) -> RawEncoding:
        """Return that the input is taken encoded."""
        del feature, fitted
        return taken_encoded("a graph of your own (`features.graph`) makes it")
