"""Convert a tower to ONNX, from the graph of its SavedModel."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx

from towermill.errors import BundleError

#: Operator set version, which ONNX Runtime and Triton have supported since 2023.
OPSET: Final = 18
#: tf2onnx copies the graph to undo failed passes, unless this is in the environment.
_CATCH: Final = "TF2ONNX_CATCH_ERRORS"


def write_onnx(saved: Path, path: Path) -> None:
    """Write a SavedModel as ONNX.

    Parameters
    ----------
    saved
        Its signature ``serving_default`` has named inputs and one named output, whose first axis
        is the rows. Inputs that its graph does not use are left out of the file.
    path
        The file.

    Raises
    ------
    BundleError
        The graph has an operator that ONNX lacks, or is over 2 GB.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    module = tf.saved_model.load(str(saved))  # which its signature does not keep alive
    signature = module.signatures["serving_default"]
    (output,) = signature.structured_outputs
    frozen = convert_variables_to_constants_v2(signature, lower_control_flow=False)
    # TensorFlow makes the names of placeholders lower case; their order is that of the names.
    names = sorted(signature.structured_input_signature[1])
    taken = dict(zip(names, (tensor.name for tensor in frozen.inputs), strict=True))
    try:
        with _quiet():
            model = _converted(frozen.graph, list(taken.values()), frozen.outputs[0].name)
        _name(model, {held: name for name, held in taken.items()}, frozen.outputs[0].name, output)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))
    except (ValueError, onnx.checker.ValidationError, _protobuf_error()) as error:
        raise BundleError(
            f"The model cannot be written as ONNX: {error}. Report it, with the recipe's "
            "`model` section."
        ) from error


def _converted(graph: Any, inputs: list[str], output: str) -> onnx.ModelProto:
    """Convert a frozen graph.

    tf2onnx copies the graph before each of its passes, to drop a pass that fails. The copies take
    most of its time, so they are made only if a pass did fail.
    """
    import tf2onnx

    def convert() -> onnx.ModelProto:
        model, _ = tf2onnx.convert.from_graph_def(
            graph.as_graph_def(), input_names=inputs, output_names=[output], opset=OPSET
        )
        return model

    before = os.environ.get(_CATCH)
    os.environ[_CATCH] = "FALSE"
    try:
        return convert()
    except Exception:
        del os.environ[_CATCH]
        return convert()
    finally:
        os.environ.pop(_CATCH, None)
        if before is not None:
            os.environ[_CATCH] = before


def _name(model: onnx.ModelProto, inputs: dict[str, str], made: str, output: str) -> None:
    """Give the inputs and the output the names of the signature, and leave their rows open."""
    graph = model.graph
    renamed = {**inputs, made: output}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    used = {name for node in graph.node for name in node.input}
    for value in (*graph.input, *graph.output):
        value.name = renamed.get(value.name, value.name)
        value.type.tensor_type.shape.dim[0].dim_param = f"{value.name}_rows"
    kept = [value for value in graph.input if value.name in used]
    del graph.input[:]
    graph.input.extend(kept)


def _protobuf_error() -> type[Exception]:
    from google.protobuf.message import EncodeError

    found: type[Exception] = EncodeError
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tf2onnx, which logs by its own rules, and TensorFlow's deprecations to themselves."""
    import tensorflow as tf

    loggers = [logging.getLogger("tf2onnx"), tf.get_logger()]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
