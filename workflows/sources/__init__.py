"""Sources: what can stand as `source.kind` in a recipe, and the class that reads it."""

from __future__ import annotations

from towermill.workflows.sources.aliccp import AliCCP
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.generated.interactions import Synthetic
from towermill.workflows.sources.generated.news import News
from towermill.workflows.sources.generated.slates import Slates
from towermill.workflows.sources.movielens import MovieLens
from towermill.workflows.sources.news_logs.ebnerd import EbNerd
from towermill.workflows.sources.news_logs.mind import Mind
from towermill.workflows.sources.table import Table

#: `source.kind` to the class that reads it.
SOURCES: dict[str, type[SourceConfig]] = {
    "aliccp": AliCCP,
    "ebnerd": EbNerd,
    "mind": Mind,
    "movielens": MovieLens,
    "news": News,
    "slates": Slates,
    "synthetic": Synthetic,
    "table": Table,
}

__all__ = [
    "SOURCES",
    "AliCCP",
    "EbNerd",
    "Mind",
    "MovieLens",
    "News",
    "Slates",
    "Synthetic",
    "Table",
]
