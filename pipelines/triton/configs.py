"""Configurations of the models of a Triton repository.

Triton merges requests along the first axis (`dynamic_batching`), and the ensemble is of such
models. A tower that takes lists does not fit that: its ``<name>__values`` have as many rows as all
lists together. Triton's own ragged batching counts values a request, not a row, and so allows no
request of several users. Such a tower, and the look-up that feeds it, therefore state
``max_batch_size: 0``: a request is run alone, with all of its rows. Triton lets an ensemble that
batches contain models that do not, as long as whole shapes agree, so that a client sees no
difference (``ValidateEnsembleConfig`` in the server's ``ensemble_utils.cc``).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from towermill.pipelines.bundle.manifest import Manifest

Config = dict[str, Any]
Backend = Literal["onnxruntime", "tensorflow"]

USER_FEATURES: Final = "user_features"
QUERY_TOWER: Final = "query_tower"
CANDIDATES: Final = "candidates"
SIMILAR: Final = "similar"
RECOMMEND: Final = "recommend"

_TYPES: Final = {"int32": "TYPE_INT32", "float32": "TYPE_FP32"}
_STRING, _INT, _FLOAT, _BOOL = "TYPE_STRING", "TYPE_INT32", "TYPE_FP32", "TYPE_BOOL"


@dataclass(frozen=True)
class Serving:
    """Settings of how Triton runs the models.

    Attributes
    ----------
    backend
        What runs the query tower.
    device
        Where it runs. The Python models are always on the CPU.
    instances
        Number of instances of each model.
    max_batch_size
        Rows at a time; no request may have more.
    k, max_k
        How many items are answered where a request does not say, and the most it may ask for.
    """

    backend: Backend = "onnxruntime"
    device: Literal["cpu", "gpu"] = "cpu"
    instances: int = 1
    max_batch_size: int = 64
    k: int = 10
    max_k: int = 1000


def configs(
    manifest: Manifest, serving: Serving, taken: Container[str] | None = None
) -> dict[str, Config]:
    """Return the name of each model of a retriever's bundle to its configuration.

    Parameters
    ----------
    taken
        The inputs of the tower's graph; None: all in the manifest.
    """
    inputs = {n: t for n, t in _tower_inputs(manifest) if taken is None or n in taken}
    return {
        USER_FEATURES: _user_features(inputs, serving),
        QUERY_TOWER: _query_tower(manifest, inputs, serving),
        CANDIDATES: _candidates(manifest, serving),
        SIMILAR: _similar(serving),
        RECOMMEND: _recommend(manifest, inputs, serving),
    }


def _tower_inputs(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for name, feature in manifest.query_features.items():
        kind = _TYPES[feature.dtype]
        if feature.list:
            yield f"{name}__values", kind
            yield f"{name}__offsets", _INT
        else:
            yield name, kind


def _batches(inputs: Mapping[str, str]) -> bool:
    return not any(name.endswith("__offsets") for name in inputs)


def _tensor(name: str, data_type: str, *dims: int, **more: Any) -> Config:
    return {"name": name, "data_type": data_type, "dims": list(dims), **more}


def _model(name: str, rows: int, device: str, instances: int) -> Config:
    config: Config = {"name": name, "max_batch_size": rows}
    if rows:
        config["dynamic_batching"] = {}
    config["instance_group"] = {"count": instances, "kind": f"KIND_{device.upper()}"}
    return config


def _parameters(**values: int) -> list[Config]:
    return [{"key": key, "value": {"string_value": str(n)}} for key, n in values.items()]


def _user_features(inputs: Mapping[str, str], serving: Serving) -> Config:
    batches = _batches(inputs)
    row = [1] if batches else [-1, 1]  # the same whole shape, (rows, 1)
    return {
        **_model(USER_FEATURES, serving.max_batch_size * batches, "cpu", serving.instances),
        "backend": "python",
        "input": [_tensor("USER_ID", _STRING, *row)],
        "output": [
            _tensor("USER", _INT, *row),
            _tensor("KNOWN", _BOOL, *row),
            *(_tensor(f"query_{n}", t, 1 if batches else -1) for n, t in inputs.items()),
        ],
        "parameters": _parameters(max_batch_size=serving.max_batch_size),
    }


def _query_tower(manifest: Manifest, inputs: Mapping[str, str], serving: Serving) -> Config:
    batches, dim = _batches(inputs), manifest.dim
    # An input of the graph is of rank 1, where Triton's batches have at least rank 2.
    shape: Config = {"reshape": {"shape": []}} if batches else {}
    output = manifest.onnx["query_tower"].output
    runs = (
        {"backend": "onnxruntime"}
        if serving.backend == "onnxruntime"
        else {"platform": "tensorflow_savedmodel", "backend": "tensorflow"}
    )
    return {
        **_model(QUERY_TOWER, serving.max_batch_size * batches, serving.device, serving.instances),
        **runs,
        "input": [_tensor(n, t, 1 if batches else -1, **shape) for n, t in inputs.items()],
        "output": [_tensor(output, _FLOAT, *([dim] if batches else [-1, dim]))],
        "model_warmup": {
            "name": "one row",
            "batch_size": 1,
            "inputs": [{"key": n, "value": _warm(n, t)} for n, t in inputs.items()],
        },
    }


#: The offsets of one list of one value, in a file of the folder ``warmup``.
WARM_OFFSETS: Final = "offsets"


def _warm(name: str, data_type: str) -> Config:
    if name.endswith("__offsets"):
        return {"data_type": data_type, "dims": [2], "input_data_file": WARM_OFFSETS}
    return {"data_type": data_type, "dims": [1], "zero_data": True}


def _asked() -> list[Config]:
    return [
        _tensor("K", _INT, 1, optional=True),
        _tensor("FILTER_SEEN", _BOOL, 1, optional=True),
        # Their length differs between requests, which are merged all the same.
        _tensor("EXCLUDE", _STRING, -1, optional=True, allow_ragged_batch=True),
    ]


def _found(name: str) -> list[Config]:
    return [_tensor(name, _STRING, -1), _tensor("SCORE", _FLOAT, -1)]


def _candidates(manifest: Manifest, serving: Serving) -> Config:
    return {
        **_model(CANDIDATES, serving.max_batch_size, "cpu", serving.instances),
        "backend": "python",
        "input": [
            _tensor("EMBEDDING", _FLOAT, manifest.dim),
            _tensor("USER", _INT, 1, optional=True),
            *_asked(),
        ],
        "output": _found("ITEM_ID"),
        "parameters": _parameters(k=serving.k, max_k=serving.max_k),
    }


def _similar(serving: Serving) -> Config:
    return {
        **_model(SIMILAR, serving.max_batch_size, "cpu", serving.instances),
        "backend": "python",
        "input": [_tensor("ITEM_ID", _STRING, 1), _tensor("K", _INT, 1, optional=True)],
        "output": [*_found("SIMILAR_ID"), _tensor("KNOWN", _BOOL, 1)],
        "parameters": _parameters(k=serving.k, max_k=serving.max_k),
    }


def _recommend(manifest: Manifest, inputs: Mapping[str, str], serving: Serving) -> Config:
    embedding = manifest.onnx["query_tower"].output
    features = {f"query_{name}": f"query_{name}" for name in inputs}
    asked = {tensor["name"]: tensor["name"] for tensor in _asked()}
    return {
        "name": RECOMMEND,
        "platform": "ensemble",
        "max_batch_size": serving.max_batch_size,
        "input": [_tensor("USER_ID", _STRING, 1), *_asked()],
        "output": [*_found("ITEM_ID"), _tensor("KNOWN", _BOOL, 1)],
        "ensemble_scheduling": {
            "step": [
                _step(
                    USER_FEATURES,
                    {"USER_ID": "USER_ID"},
                    {"USER": "USER", "KNOWN": "KNOWN", **features},
                ),
                _step(
                    QUERY_TOWER,
                    {name: f"query_{name}" for name in inputs},
                    {embedding: "EMBEDDING"},
                ),
                _step(
                    CANDIDATES,
                    {"EMBEDDING": "EMBEDDING", "USER": "USER", **asked},
                    {"ITEM_ID": "ITEM_ID", "SCORE": "SCORE"},
                ),
            ]
        },
    }


def _step(model: str, takes: Mapping[str, str], gives: Mapping[str, str]) -> Config:
    """Return a step; `takes` and `gives` are a model's tensor to the ensemble's."""
    return {
        "model_name": model,
        "model_version": -1,
        "input_map": [{"key": key, "value": value} for key, value in takes.items()],
        "output_map": [{"key": key, "value": value} for key, value in gives.items()],
    }
