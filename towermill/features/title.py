"""The kind ``title``: text for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from towermill.features.base import FeatureKind

if TYPE_CHECKING:
    import polars as pl

    from towermill.features.config import Feature


class Title(FeatureKind):
    """Carried along for people to read, never an input of a model."""

    kind: ClassVar[str] = "title"
    reads = "single values"
    is_input = False
    reads_text = True

    def has_vocabulary(self, feature: Feature) -> bool:
        """Return False."""
        del feature
        return False

    def expression(self, column: str, dtype: Any, feature: Feature) -> pl.Expr | None:
        """Return single values as text."""
        del feature
        import polars as pl

        return None if dtype.is_nested() else pl.col(column).cast(pl.String)
