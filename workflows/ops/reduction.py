"""One pass over a data set's partitions, and a tree over what each of them gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

#: Partial results merged at a time.
_WIDTH = 8


def reduce_partitions(
    frame: Any,
    chunk: Callable[[Any], Any],
    merge: Callable[[list[Any]], Any],
    finish: Callable[[Any], Any],
) -> Delayed:
    """Return the lazy ``finish(merge(...[chunk(partition), ...]))`` of a Dask frame.

    Partitions are merged in order, whichever worker computes them, eight at a time: at most eight
    results are held for each level of the tree.

    Parameters
    ----------
    frame
        A Dask frame.
    chunk
        Partition → partial result.
    merge
        Partial results → one; also of one.
    finish
        The last one → the result.
    """
    token = tokenize(frame, chunk, merge, finish)
    name = f"chunk-{token}"
    graph: dict[Any, Any] = {
        (name, part): (chunk, (frame._name, part)) for part in range(frame.npartitions)
    }
    level = list(graph)
    depth = 0
    while depth == 0 or len(level) > 1:
        name = f"merge-{depth}-{token}"
        groups = [level[i : i + _WIDTH] for i in range(0, len(level), _WIDTH)]
        graph |= {(name, i): (merge, group) for i, group in enumerate(groups)}
        level = [(name, i) for i in range(len(groups))]
        depth += 1
    key = f"finish-{token}"
    graph[key] = (finish, level[0])
    return Delayed(key, HighLevelGraph.from_collections(key, graph, dependencies=[frame]))
