"""Patches of Dask for Merlin."""

from __future__ import annotations

import functools
import os
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Any


def keep_lists_in_object_columns() -> None:
    """Dask converts object columns to ``string[pyarrow]`` since 2023.7, lists in them included.

    Merlin keeps lists in object columns: without this they come back as text. (In the environment
    as well, by the import watcher, for processes that this one starts.)
    """
    import dask

    dask.config.set({"dataframe.convert-string": False})


def ask_dask_to_keep_lists() -> None:
    """Before Dask is imported: the same, for the processes that this one starts."""
    os.environ.setdefault("DASK_DATAFRAME__CONVERT_STRING", "False")


class _OpaqueGraph(dict[Any, Any]):
    """A task graph that tokenizes by its name, so that its lambdas need not be hashed."""

    def __init__(self, graph: Any, name: str) -> None:
        super().__init__(graph)
        self.name = name

    def __dask_tokenize__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _OpaqueGraph, (dict(self), self.name)


def new_dd_object(
    graph: Any, name: str, meta: Any, divisions: Sequence[Any], parent_meta: Any = None
) -> Any:
    """Return a collection over a graph built by hand, as dask.dataframe.core had it until 2025.1.

    That release took the legacy DataFrame away; only dask-expr's is left, which takes a graph
    through ``from_graph``.
    """
    from dask.dataframe.dask_expr import from_graph
    from dask.utils import ensure_dict

    keys = [(name, i) for i in range(len(divisions) - 1)]
    return from_graph(_OpaqueGraph(ensure_dict(graph), name), meta, tuple(divisions), keys, name)


def restore_dask_names() -> None:
    """Names that Merlin imports from modules which the legacy DataFrame took with it (2025.1).

    ``dask.dataframe.optimize`` pushed column selections into the reader; dask-expr does so itself,
    and `_as_graph` asks it to.
    """
    import dask.dataframe as dd
    import dask.dataframe.core as core
    from dask.dataframe.dispatch import hash_object_dispatch

    core.new_dd_object = new_dd_object
    core.hash_object_dispatch = hash_object_dispatch
    core.DataFrame, core.Series = dd.DataFrame, dd.Series
    optimize: Any = types.ModuleType("dask.dataframe.optimize")
    optimize.optimize = lambda dsk, keys, **kwargs: dsk
    sys.modules.setdefault("dask.dataframe.optimize", optimize)


def _as_graph(collection: Any) -> Any:
    """The collection's graph, with aliases so that ``(collection._name, i)`` resolves in it."""
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    lowered = collection.expr.simplify().lower_completely()
    keys = lowered.__dask_keys__()
    if len(keys) != collection.npartitions:  # simplified away: the caller counts on its own number
        lowered = collection.expr.lower_completely()
        keys = lowered.__dask_keys__()
    graph = dict(lowered.__dask_graph__())
    for i, key in enumerate(keys):
        graph.setdefault((collection._name, i), key)
    return HighLevelGraph({collection._name: MaterializedLayer(graph)}, {collection._name: set()})


class _Dependency:
    """A dask-expr collection in the shape that ``HighLevelGraph.from_collections`` knows."""

    def __init__(self, collection: Any) -> None:
        self.graph, self.name = _as_graph(collection), collection._name

    def __dask_graph__(self) -> Any:
        return self.graph

    def __dask_layers__(self) -> tuple[str]:
        return (self.name,)

    def __dask_keys__(self) -> list[Any]:
        return []

    def __dask_postcompute__(self) -> Any:
        return tuple, ()


def accept_dask_expr_dependencies() -> None:
    """Graphs built by hand on top of a frame, and ``ddf.dask``, for dask-expr frames (2025.1).

    Merlin writes files, shuffles and aggregates through ``HighLevelGraph.from_collections``, which
    wants layers that an expression does not have before it is lowered. It also assigns
    ``ddf.dask``, as an optimisation that dask-expr makes needless: ignored.
    """
    from dask.dataframe.dask_expr import FrameBase
    from dask.highlevelgraph import HighLevelGraph

    original = HighLevelGraph.from_collections.__func__

    def from_collections(cls: Any, name: str, layer: Any, dependencies: Any = ()) -> Any:
        adapted = [_Dependency(d) if isinstance(d, FrameBase) else d for d in dependencies]
        return original(cls, name, layer, adapted)

    HighLevelGraph.from_collections = classmethod(from_collections)
    FrameBase.dask = property(_as_graph, lambda self, graph: None)


def ignore_divisions_in_sort() -> None:
    """``sort_values(divisions=…)`` is dask_cudf's alone, and went with the legacy DataFrame."""
    import dask.dataframe as dd

    original = dd.DataFrame.sort_values

    @functools.wraps(original)
    def sort_values(self: Any, by: Any, *args: Any, divisions: Any = None, **kwargs: Any) -> Any:
        return original(self, by, *args, **kwargs)

    dd.DataFrame.sort_values = sort_values


def silence_cpu_warning() -> None:
    """Every Dataset without a GPU warns that this is "an experimental feature"; it is tested."""
    warnings.filterwarnings(
        "ignore", "(Initializing|Changing) an NVTabular Dataset (in|to) CPU mode", UserWarning
    )
