"""A stand-in for Triton: the module of its Python backend, and a runner of model repositories.

It needs NumPy, ONNX Runtime and Triton's published schema (`tritonclient`), and nothing of
Towermill: what a repository lacks, it lacks here. `run_ensemble` runs one on any bundle.

What it holds a repository to is what Triton's core does: each input is declared, of its type and
shape, given unless it is optional, and of no more rows than `max_batch_size`; each output is
declared and of its shape; steps of an ensemble run when their inputs are there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

TYPES = {
    "TYPE_STRING": np.object_,
    "TYPE_INT32": np.int32,
    "TYPE_FP32": np.float32,
    "TYPE_BOOL": np.bool_,
}


class Refused(Exception):  # noqa: N818
    """What a client of Triton is told of a request that was not answered."""


class TritonError:
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG = range(4)

    def __init__(self, message: str, code: int = UNKNOWN) -> None:
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        if not isinstance(values, np.ndarray):
            raise TypeError(f"{name} should be an array. Received: {type(values)}")
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._values


class InferenceRequest:
    def __init__(self, inputs: list[Tensor]) -> None:
        self._inputs = inputs

    def inputs(self) -> list[Tensor]:
        return self._inputs


class InferenceResponse:
    def __init__(self, output_tensors: list[Tensor], error: TritonError | None = None) -> None:
        self._outputs, self._error = output_tensors, error

    def output_tensors(self) -> list[Tensor]:
        return self._outputs

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def triton_string_to_numpy(name: str) -> type:
    return TYPES[name]


def read_config(path: Path) -> ModelConfig:
    """Parse a ``config.pbtxt`` by Triton's schema."""
    return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())


class Repository:
    """Models by name, loaded when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.configs = {
            file.parent.name: read_config(file) for file in self.path.glob("*/config.pbtxt")
        }
        self._loaded: dict[str, Any] = {}
        #: Of each Python model, the modules of Towermill that it runs on: those of its folder.
        self.modules: dict[str, dict[str, types.ModuleType]] = {}

    def infer(self, model: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answer one request; raise `Refused` if Triton would answer with an error."""
        config = self.configs[model]
        given = {name: as_tensor(values) for name, values in inputs.items()}
        self._check_inputs(config, given)
        if config.platform == "ensemble":
            outputs = self._ensemble(config, given)
        elif config.backend == "python":
            outputs = self._python(config, given)
        else:
            outputs = self._network(config, given)
        declared = {tensor.name: tensor for tensor in config.output}
        rows = len(next(iter(given.values())))
        for name, values in outputs.items():
            self._check_tensor(config, declared[name], values)
            if config.max_batch_size and len(values) != rows:
                raise Refused(f"{model}: {name} has {len(values)} rows, not {rows}")
        return outputs

    def execute(self, model: str, requests: list[InferenceRequest]) -> list[InferenceResponse]:
        """Hand requests to a Python model, past the checks of Triton's core."""
        loaded = self.python_model(model)
        with self._process(model):
            return loaded.execute(requests)

    def python_model(self, model: str) -> Any:
        """Return a Python backend's model, initialized."""
        if model not in self._loaded:
            with self._process(model):
                self._loaded[model] = self._start(model)
        return self._loaded[model]

    @contextmanager
    def _process(self, model: str) -> Iterator[None]:
        """Triton runs each Python model in a process of its own: none sees another's modules."""
        outside, path = _take_modules(), sys.path[:]
        sys.modules.update(self.modules.get(model, {}))
        sys.path.insert(0, str(self.path / model / "1"))
        try:
            yield
        finally:
            self.modules[model] = _take_modules()
            sys.modules.update(outside)
            sys.path[:] = path

    def _start(self, model: str) -> Any:
        folder = self.path / model
        sys.modules["triton_python_backend_utils"] = _as_module()
        spec = importlib.util.spec_from_file_location(model, folder / "1" / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        instance = module.TritonPythonModel()
        config = json_format.MessageToDict(
            self.configs[model],
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        instance.initialize(
            {
                "model_repository": str(folder),
                "model_version": "1",
                "model_name": model,
                "model_config": json.dumps(config),
            }
        )
        return instance

    def _check_inputs(self, config: ModelConfig, given: Mapping[str, np.ndarray]) -> None:
        declared = {tensor.name: tensor for tensor in config.input}
        for name in given.keys() - declared.keys():
            raise Refused(f"unexpected inference input {name!r} for model {config.name!r}")
        for name, tensor in declared.items():
            if name in given:
                self._check_tensor(config, tensor, given[name])
            elif not tensor.optional:
                raise Refused(f"expected input {name!r} of model {config.name!r}")
        if config.max_batch_size:
            rows = {len(values) for values in given.values()}
            if len(rows) != 1 or not 1 <= rows.pop() <= config.max_batch_size:
                raise Refused(f"batch size of {config.name!r}: at most {config.max_batch_size}")

    @staticmethod
    def _check_tensor(config: ModelConfig, tensor: Any, values: np.ndarray) -> None:
        wanted = TYPES[DataType.Name(tensor.data_type)]
        shape = list(values.shape[1:] if config.max_batch_size else values.shape)
        fits = len(shape) == len(tensor.dims) and all(
            dim in (-1, size) for dim, size in zip(tensor.dims, shape, strict=True)
        )
        if values.dtype != wanted or not fits:
            raise Refused(
                f"{config.name}: {tensor.name} should be {wanted.__name__} {list(tensor.dims)}; "
                f"it is {values.dtype} {shape}"
            )

    def _python(self, config: ModelConfig, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
        request = InferenceRequest([Tensor(name, values) for name, values in given.items()])
        (response,) = self.execute(config.name, [request])
        if response.has_error():
            raise Refused(response.error().message())
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}

    def _network(self, config: ModelConfig, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
        inputs = {}
        for tensor in config.input:
            values = given[tensor.name]
            if tensor.HasField("reshape"):
                rows = values.shape[:1] if config.max_batch_size else ()
                values = values.reshape(*rows, *tensor.reshape.shape)
            inputs[tensor.name] = values
        names = [tensor.name for tensor in config.output]
        version = self.path / config.name / "1"
        if config.backend == "onnxruntime":
            import onnxruntime

            if config.name not in self._loaded:
                self._loaded[config.name] = onnxruntime.InferenceSession(version / "model.onnx")
            found = self._loaded[config.name].run(names, inputs)
        else:
            import tensorflow as tf

            if config.name not in self._loaded:
                self._loaded[config.name] = tf.saved_model.load(str(version / "model.savedmodel"))
            serve = self._loaded[config.name].signatures["serving_default"]
            answered = serve(**{name: tf.constant(values) for name, values in inputs.items()})
            found = [answered[name].numpy() for name in names]
        return dict(zip(names, found, strict=True))

    def _ensemble(self, config: ModelConfig, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
        tensors, waiting = dict(given), list(config.ensemble_scheduling.step)
        left_out = {tensor.name for tensor in config.input} - given.keys()
        while waiting:
            ready = [
                step
                for step in waiting
                if all(name in tensors or name in left_out for name in step.input_map.values())
            ]
            if not ready:
                raise Refused(f"steps of {config.name} wait for one another")
            for step in ready:
                waiting.remove(step)
                takes = {k: tensors[v] for k, v in step.input_map.items() if v in tensors}
                gives = self.infer(step.model_name, takes)
                tensors |= {v: gives[k] for k, v in step.output_map.items()}
        return {tensor.name: tensors[tensor.name] for tensor in config.output}


def _take_modules() -> dict[str, types.ModuleType]:
    own = [name for name in sys.modules if name.partition(".")[0] == "towermill"]
    return {name: sys.modules.pop(name) for name in own}


def as_tensor(values: Any) -> np.ndarray:
    """Return an array as Triton hands it over: strings as objects of UTF-8 bytes."""
    array = np.asarray(values)
    if array.dtype.kind in "UO":
        flat = [one.encode() if isinstance(one, str) else one for one in array.ravel()]
        objects = np.empty(len(flat), np.object_)
        objects[:] = flat
        return objects.reshape(array.shape)
    return array


def run_ensemble(
    repository: Path, inputs: Mapping[str, Any], model: str = "recommend"
) -> dict[str, np.ndarray]:
    """Answer one request by a model of a repository, and all models that it is made of."""
    return Repository(repository).infer(model, inputs)


def _as_module() -> types.ModuleType:
    module = types.ModuleType("triton_python_backend_utils")
    for thing in (TritonError, Tensor, InferenceRequest, InferenceResponse):
        setattr(module, thing.__name__, thing)
    module.get_input_tensor_by_name = get_input_tensor_by_name
    module.triton_string_to_numpy = triton_string_to_numpy
    return module
