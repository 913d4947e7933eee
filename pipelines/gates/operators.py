"""Check what a SavedModel would execute, before TensorFlow loads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from towermill.errors import BundleError

#: TensorFlow calls an operator stateful if it does more than compute its output. Of these, towers
#: and rankers need their weights, lookup tables, control flow and random numbers.
_STATEFUL: Final = re.compile(
    r"VarHandleOp|VarIsInitializedOp|ReadVariableOp|AssignVariableOp|DisableCopyOnRead"
    r"|ResourceGather(Nd)?|(Mutable)?(Hash|DenseHash)TableV2|LookupTable(Find|Import|Size)V2"
    r"|StatefulPartitionedCall|If|Case|While|Assert|RandomUniform|RandomUniformInt"
    r"|RandomStandardNormal|TruncatedNormal|Multinomial"
)
#: Stateless ones that still reach files, Python or debuggers.
_REACHING: Final = re.compile(r"File|PyFunc|Dataset|Debug|Vocab|^Copy(Host)?$")
_FILE: Final = "saved_model.pb"


def check_operators(path: Path) -> None:
    """Check that a SavedModel does nothing but compute.

    The functions that save and restore its weights are left out: nothing calls them here.

    Parameters
    ----------
    path
        Folder of the SavedModel.

    Raises
    ------
    BundleError
        It cannot be read, or has an operator that could read or write files, run Python or reach
        another process.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString((path / _FILE).read_bytes())
    except (OSError, DecodeError) as error:
        raise BundleError(f"{path} should be a SavedModel ({error}). Export again.") from error
    for graph in model.meta_graphs:
        for operator in _executed(graph):
            if not _computes(operator):
                raise BundleError(
                    f"The SavedModel {path} should only compute; its operator {operator} can do "
                    "more, such as read or write files. It was not loaded. Do not use this bundle "
                    "if you do not know where it is from."
                )


def _executed(graph: Any) -> set[str]:
    """Return the operators that loading or calling a graph can execute."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    saver = graph.saver_def
    saving = {saver.save_tensor_name.partition(":")[0], saver.restore_op_name.partition(":")[0]}
    nodes = list(graph.graph_def.node)
    own = [node for node in nodes if node.name not in saving]
    exported = set(graph.object_graph_def.concrete_functions)
    called = _reached(library, {*_called(own), *exported})
    of_saver = _reached(library, set(_called(n for n in nodes if n.name in saving)))
    functions = [one for name, one in library.items() if name in called or name not in of_saver]
    return {node.op for node in own} | {n.op for one in functions for n in one.node_def}


def _reached(library: Mapping[str, Any], names: set[str]) -> set[str]:
    """Return the functions that these functions call, directly or not, and themselves."""
    reached: set[str] = set()
    while ahead := (names & library.keys()) - reached:
        reached |= ahead
        names = {called for name in ahead for called in _called(library[name].node_def)}
    return reached


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the functions that nodes name in their attributes; an operator may be a function."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)


def _computes(operator: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(operator)
    if known is None:
        return False
    if known.is_stateful:
        return _STATEFUL.fullmatch(operator) is not None
    return _REACHING.search(operator) is None
