"""From a recipe's `model` section to an untrained model, and to the data that it reads."""

from __future__ import annotations

from pathlib import Path

from towermill.errors import DataError, RecipeError
from towermill.models.configs.base import ModelConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation import PROTOCOLS, events_of
from towermill.models.evaluation.protocol import Model
from towermill.models.layers.placement import tables_in_host
from towermill.runtime.gpu import table_limit


def open_data(processed: Path) -> Processed:
    """Return the processed data set at `processed`, as the protocol of its events reads it."""
    return PROTOCOLS.get(events_of(processed))().open(processed)


def build_model(
    data: Processed, config: ModelConfig, *, batch_size: int = 4096, seed: int = 0
) -> Model:
    """Return the untrained model of `config.kind`, every weight created.

    On a GPU, tables above `towermill.runtime.gpu.table_limit` stay in the host's memory.

    Parameters
    ----------
    data
        As `open_data` returns it.
    config
        The recipe's `model` section.
    batch_size, seed
        See `ModelConfig.create`.

    Raises
    ------
    DataError
        The model does not learn from the events of this data.
    SchemaError, RecipeError
        The processed schema lacks what the model needs; or the kind creates something else than
        it declares.
    """
    if data.events not in config.learns_from:
        raise DataError(
            f"`model.kind: {config.kind}` should be given processed "
            f"{' or '.join(config.learns_from)}. Received: {data.events}, at {data.path}. Choose "
            "another `model.kind`."
        )
    with tables_in_host(table_limit()):
        model = config.create(data, batch_size=batch_size, seed=seed)
    wanted = (config.contract,) if config.contract else ("retriever", "ranker")
    if not isinstance(model, Model) or model.contract not in wanted:
        raise RecipeError(
            f"`create` of `model.kind: {config.kind}` should return a {' or '.join(wanted)} of "
            f"towermill.models.contracts. Received: {type(model).__name__}. Return one, or declare "
            "the other `contract`."
        )
    return model


def load_model(processed: Path, trained: Path, model: ModelConfig) -> tuple[Processed, Model]:
    """Return the data set and the model that `train_model` wrote.

    Raises
    ------
    DataError
        The weights are missing or of another model.
    """
    data = open_data(processed)
    loaded = build_model(data, model)
    loaded.restore(trained / "weights")
    return data, loaded
