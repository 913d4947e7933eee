"""Batch inference on a Dask cluster: workers compute embeddings of slices of a table."""

from __future__ import annotations

import contextlib
import pickle  # nosec B403
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towermill.models.configs.base import ModelConfig
from towermill.pipelines.stages.output import read_manifest
from towermill.runtime.device import Runtime, quiet_tensorflow
from towermill.runtime.gpu import start_tensorflow_on_gpu
from towermill.runtime.in_order import in_order, tasks_ahead

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from towermill.models.contracts.retriever import Retriever, Side, Spread

#: Models a worker keeps: of as many recipes that encode side by side.
_KEPT = 2

#: By the pickle of what they were loaded from: a section of a recipe may hold dicts.
_models: OrderedDict[bytes, Retriever] = OrderedDict()
_loading = threading.Lock()


@dataclass(frozen=True)
class TrainedModel:
    """The files and settings that a worker loads a model from.

    Attributes
    ----------
    processed, trained, config
        See `towermill.models.training.train.load_model`.
    finished
        When it was trained: another model may replace it in the same folder.
    device
        Where it computes.
    """

    processed: Path
    trained: Path
    config: ModelConfig
    finished: str
    device: str


def spread_over_cluster(
    inputs: Mapping[str, Path], model: ModelConfig, runtime: Runtime
) -> Spread | None:
    """Return what encodes by the trained model on the current client's cluster; None without one.

    Parameters
    ----------
    inputs
        Folders of the stages ``process`` and ``train``, on storage that all workers see.
    model
        The `model` section of the recipe.
    runtime
        The run's runtime.
    """
    if runtime.cluster == "none":
        return None
    from distributed import default_client

    manifest = read_manifest(inputs["train"])
    trained = TrainedModel(
        inputs["process"],
        inputs["train"],
        model,
        "" if manifest is None else manifest.finished,
        runtime.device,
    )
    return _Spread(default_client(), trained)


@dataclass(frozen=True)
class _Spread:
    """`towermill.models.contracts.retriever.Spread` over a client's workers."""

    client: Any
    model: TrainedModel

    def __call__(self, side: Side, slices: Sequence[pl.DataFrame]) -> Iterator[NDArray[np.float32]]:
        # The rows travel with the task, so that another worker can do it if one dies.
        submit = partial(self.client.submit, encode_rows, self.model, side, pure=False)
        return in_order(submit, slices, tasks_ahead(self.client))


def encode_rows(model: TrainedModel, side: Side, rows: pl.DataFrame) -> NDArray[np.float32]:
    """Return the embeddings of rows, float32 ``(rows, dim)``; on a worker.

    A process loads a model once. TensorFlow stays in its memory from then on.
    """
    return _loaded(model).encode(side, rows)


def _loaded(model: TrainedModel) -> Retriever:
    with _loading:  # a worker may have several threads
        key = pickle.dumps(model)
        if key not in _models:
            _models[key] = _load(model)
            if len(_models) > _KEPT:
                _models.popitem(last=False)
        _models.move_to_end(key)
        return _models[key]


def start_tensorflow(device: str) -> None:
    """Have TensorFlow compute on this device, and take a GPU's memory as it needs it."""
    quiet_tensorflow()
    if device == "gpu":
        start_tensorflow_on_gpu()
    else:
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # it has started on a GPU: too late to hide them
            tf.config.set_visible_devices([], "GPU")


def _load(model: TrainedModel) -> Retriever:
    start_tensorflow(model.device)
    from towermill.models.build import load_model

    retriever: Retriever = load_model(model.processed, model.trained, model.config)[1]  # type: ignore[assignment]
    return retriever
