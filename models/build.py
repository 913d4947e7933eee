"""From a recipe's `model` section to an untrained model, and to the data that it reads."""

from __future__ import annotations

from pathlib import Path

from towermill.errors import DataError
from towermill.models.config import (
    ContentConfig,
    ModelConfig,
    NRMSConfig,
    TwoTowerConfig,
)
from towermill.models.config_funk_svd import FunkSVDConfig
from towermill.models.content import build_content
from towermill.models.content_of_users import build_content_of_users
from towermill.models.data import Processed
from towermill.models.funk_svd import build_funk_svd
from towermill.models.impressions import ImpressionData
from towermill.models.nrms import build_nrms
from towermill.models.retriever import Retriever
from towermill.models.two_tower import build_two_tower


def open_data(processed: Path, config: ModelConfig) -> Processed:
    """Return the processed data set at `processed`, as a model of this kind reads it."""
    return ImpressionData(processed) if config.ranks_impressions else Processed(processed)


def build_model(
    data: Processed, config: ModelConfig, *, batch_size: int = 4096, seed: int = 0
) -> Retriever:
    """Return the untrained model of `config.kind`, every weight created.

    Parameters
    ----------
    data
        As `open_data` returns it for this kind.
    config
        The recipe's `model` section.
    batch_size, seed
        See the models' own functions.

    Raises
    ------
    DataError
        The data is of impressions and the model learns from interactions, or the other way round.
    SchemaError, RecipeError
        See `build_two_tower`, `build_funk_svd`, `build_nrms`, `build_content` and
        `build_content_of_users`.
    """
    if isinstance(config, TwoTowerConfig):
        if not isinstance(data, ImpressionData):
            return build_two_tower(data, config, batch_size=batch_size, seed=seed)
    elif isinstance(config, FunkSVDConfig):
        if not isinstance(data, ImpressionData):
            return build_funk_svd(data, config, seed=seed)
    elif isinstance(config, ContentConfig) and not config.ranks_impressions:
        if not isinstance(data, ImpressionData):
            return build_content_of_users(data)
    elif isinstance(data, ImpressionData):
        if isinstance(config, NRMSConfig):
            return build_nrms(data, config, seed=seed)
        return build_content(data)
    kinds = ("impressions", "interactions")
    wanted, found = kinds if config.ranks_impressions else reversed(kinds)
    raise DataError(
        f"`model.kind: {config.kind}` should be given processed {wanted}. Received: {found}, at "
        f"{data.path}. Open them with `open_data`, or choose another `model.kind`."
    )
