"""`nvtabular.Workflow` with operators that work on Arrow columns where there is no GPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nvtabular as nvt
from merlin.dag import Graph
from merlin.dag.node import iter_nodes
from merlin.dag.ops.concat_columns import ConcatColumns
from merlin.dag.ops.selection import SelectionOp
from merlin.io import Dataset

from towermill.workflows import ops
from towermill.workflows.dataset import narrowed

#: Stock operator to the one here, which adds methods and no state.
_FAST: dict[type, type] = {cls.__mro__[1]: cls for cls in (getattr(ops, n) for n in ops.__all__)}
_STOCK = {fast: stock for stock, fast in _FAST.items()}


class Workflow(nvt.Workflow):  # type: ignore[misc]
    """NVTabular's `Workflow`, whose operators are replaced by those of `towermill.workflows.ops`.

    What `save` writes is stock NVTabular's own workflow, and `load` takes either's.

    Parameters
    ----------
    output
        The last node of a graph of NVTabular's operators.
    """

    def __init__(self, output: Any, client: Any = None) -> None:
        super().__init__(output, client)
        _replace(self.graph, _FAST)

    def fit(self, dataset: Dataset) -> Workflow:
        """Fit the operators on the data set, of which only the columns of the graph are read."""
        if not self.graph.output_schema:
            self.graph.construct_schema(dataset.schema)
        super().fit(narrowed(dataset, self._input_columns()))
        return self

    def save(self, path: str | Path, modules_byvalue: Any = None) -> None:
        """Write the workflow and its vocabularies into the folder `path`."""
        stock = nvt.Workflow.__new__(nvt.Workflow)
        stock.__dict__.update(self.__dict__, graph=copy.deepcopy(self.graph))
        _replace(stock.graph, _STOCK)
        stock.save(str(path), modules_byvalue)

    @classmethod
    def load(cls, path: str | Path, client: Any = None) -> Workflow:
        """Read a workflow that this class or stock NVTabular saved."""
        stock = nvt.Workflow.load(str(path), client)
        workflow = cls.__new__(cls)
        workflow.__dict__.update(stock.__dict__)
        _replace(workflow.graph, _FAST)
        return workflow

    @property
    def row_filter(self) -> ops.Filter | None:
        """The workflow's last operator, if it is a `Filter` that can as well be the first.

        So it is if its function has an attribute ``columns``, the names that it reads, and nothing
        before it changes those. Vocabularies and statistics are of all rows in any case.
        """
        op = self.output_node.op
        columns = getattr(getattr(op, "f", None), "columns", None)
        if not isinstance(op, ops.Filter) or columns is None:
            return None
        for node in iter_nodes(list(self.output_node.parents_with_dependencies)):
            passes = isinstance(node.op, SelectionOp | ConcatColumns)
            if not passes and set(columns) & set(node.output_columns.names):
                return None
        return op

    def get_subworkflow(self, subgraph_name: str) -> Workflow:
        """Return the named part as a workflow of its own."""
        return Workflow(self.graph.subgraph(subgraph_name).output_node)


def _replace(graph: Graph, classes: dict[type, type]) -> None:
    for node in iter_nodes([graph.output_node]):
        if type(node.op) in classes:
            node.op.__class__ = classes[type(node.op)]
        if isinstance(getattr(node.op, "graph", None), Graph):
            _replace(node.op.graph, classes)
