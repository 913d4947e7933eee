"""Sources: what can stand as `source.kind` in a recipe, and the class that reads it."""

from __future__ import annotations

from towermill.workflows.sources.aliccp import AliCCP
from towermill.workflows.sources.movielens import MovieLens
from towermill.workflows.sources.synthetic import Synthetic
from towermill.workflows.sources.table import Table
from towermill.workflows.tables import SourceConfig

#: `source.kind` to the class that reads it.
SOURCES: dict[str, type[SourceConfig]] = {
    "aliccp": AliCCP,
    "movielens": MovieLens,
    "synthetic": Synthetic,
    "table": Table,
}

__all__ = ["SOURCES", "AliCCP", "MovieLens", "Synthetic", "Table"]
