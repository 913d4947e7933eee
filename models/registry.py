"""From a recipe's `model` section to an untrained model, and to the data that it reads."""

from __future__ import annotations

from pathlib import Path

from towermill.errors import DataError
from towermill.models.architectures.content import build_content, build_content_of_users
from towermill.models.architectures.funk_svd import build_funk_svd
from towermill.models.architectures.ncf import build_ncf
from towermill.models.architectures.news_mf import build_news_mf
from towermill.models.architectures.nrms import build_nrms
from towermill.models.architectures.two_tower import build_two_tower
from towermill.models.configs.content import ContentConfig
from towermill.models.configs.funk_svd import FunkSVDConfig
from towermill.models.configs.ncf import NCFConfig
from towermill.models.configs.news_mf import NewsMFConfig
from towermill.models.configs.nrms import NRMSConfig
from towermill.models.configs.registry import ModelConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.impressions import ImpressionData, holds_impressions
from towermill.models.data.interactions import Processed
from towermill.models.layers.placement import tables_in_host
from towermill.runtime.gpu import table_limit


def open_data(processed: Path) -> Processed:
    """Return the processed data set at `processed`: `ImpressionData` if it is of impressions."""
    return ImpressionData(processed) if holds_impressions(processed) else Processed(processed)


def build_model(
    data: Processed, config: ModelConfig, *, batch_size: int = 4096, seed: int = 0
) -> Retriever | Ranker:
    """Return the untrained model of `config.kind`, every weight created.

    On a card, tables above `towermill.runtime.gpu.table_limit` stay in the host's memory.

    Parameters
    ----------
    data
        As `open_data` returns it.
    config
        The recipe's `model` section.
    batch_size, seed
        See the models' own functions.

    Raises
    ------
    DataError
        The data is of impressions and the model learns from interactions, or the other way round.
    SchemaError, RecipeError
        See `build_two_tower`, `build_funk_svd`, `build_nrms`, `build_news_mf`, `build_ncf`,
        `build_content` and `build_content_of_users`.
    """
    with tables_in_host(table_limit()):
        return _build(data, config, batch_size, seed)


def _build(data: Processed, config: ModelConfig, batch_size: int, seed: int) -> Retriever | Ranker:
    if isinstance(config, NCFConfig):
        return build_ncf(data, config, seed=seed)
    if isinstance(data, ImpressionData):
        if isinstance(config, NRMSConfig):
            return build_nrms(data, config, seed=seed)
        if isinstance(config, NewsMFConfig):
            return build_news_mf(data, config, seed=seed)
        if isinstance(config, ContentConfig):
            return build_content(data)
    elif isinstance(config, TwoTowerConfig):
        return build_two_tower(data, config, batch_size=batch_size, seed=seed)
    elif isinstance(config, FunkSVDConfig):
        return build_funk_svd(data, config, seed=seed)
    elif isinstance(config, ContentConfig):
        return build_content_of_users(data)
    found = "impressions" if isinstance(data, ImpressionData) else "interactions"
    raise DataError(
        f"`model.kind: {config.kind}` should be given processed "
        f"{' or '.join(config.learns_from)}. Received: {found}, at {data.path}. Choose another "
        "`model.kind`."
    )
