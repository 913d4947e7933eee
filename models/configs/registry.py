"""The `model` and `train` sections of a recipe. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from towermill.models.configs.content import ContentConfig
from towermill.models.configs.funk_svd import FunkSVDConfig
from towermill.models.configs.ncf import NCFConfig
from towermill.models.configs.news_mf import NewsMFConfig
from towermill.models.configs.nrms import NRMSConfig
from towermill.models.configs.two_tower import TwoTowerConfig

#: All `model.kind`s.
ModelConfig = Annotated[
    TwoTowerConfig | FunkSVDConfig | NRMSConfig | ContentConfig | NewsMFConfig | NCFConfig,
    Field(discriminator="kind"),
]
