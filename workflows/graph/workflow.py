"""`nvtabular.Workflow` with operators that work on Arrow columns where there is no GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nvtabular as nvt
from merlin.dag import Graph
from merlin.dag.node import iter_nodes
from merlin.dag.ops.concat_columns import ConcatColumns
from merlin.dag.ops.selection import SelectionOp
from merlin.dag.ops.subgraph import Subgraph
from merlin.dag.ops.subset_columns import SubsetColumns
from merlin.dag.ops.subtraction import SubtractionOp
from merlin.io import Dataset

from towermill.workflows import ops
from towermill.workflows.dataset import narrowed
from towermill.workflows.graph.state import CATEGORIES, Moments, WorkflowState
from towermill.workflows.ops.frames import on_cpu, without_arrow

#: Stock operator to the one here, which adds methods and no state.
_FAST: dict[type, type] = {cls.__mro__[1]: cls for cls in (getattr(ops, n) for n in ops.__all__)}
_STOCK = {fast: stock for stock, fast in _FAST.items()}


#: Operators whose output in a row is of that row (and of what was fitted) alone.
_ROW_BY_ROW = (
    *(SelectionOp, ConcatColumns, SubsetColumns, SubtractionOp, Subgraph),
    *(nvt.ops.AddMetadata, nvt.ops.Bucketize, nvt.ops.Categorify, nvt.ops.Clip, nvt.ops.FillMedian),
    *(nvt.ops.FillMissing, nvt.ops.ListSlice, nvt.ops.LogOp, nvt.ops.Normalize, nvt.ops.Rename),
)
#: Operators that were tried on Arrow columns. What users' functions do with them is theirs.
_TAKE_ARROW = (*_ROW_BY_ROW, *_STOCK, nvt.ops.LambdaOp)


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

    def fit(self, dataset: Dataset, earlier: Path | None = None) -> Workflow:
        """Fit the operators on the data set, of which only the columns of the graph are read.

        Parameters
        ----------
        dataset
            Training rows.
        earlier
            Folder of a saved workflow of the same graph: its values keep their ids, new values get
            the ids after them, and numbers are normalised with its means. Only its state is read
            (`WorkflowState`); nothing is unpickled.

        Raises
        ------
        DataError
            A column is missing, or `earlier` has no state.
        ValueError
            Two Categorify operators share a file; or of an operator.
        """
        if not self.graph.output_schema:
            self.graph.construct_schema(dataset.schema)
        self._require_own_files()
        data = self._taken(narrowed(dataset, self._input_columns()))
        if earlier is None:
            super().fit(data)
        else:
            self._fit_on(data, earlier)
        return self

    def _fit_on(self, dataset: Dataset, earlier: Path) -> None:
        state = WorkflowState.read(earlier)
        known = {n: str(earlier / CATEGORIES / file) for n, file in state.vocabularies.items()}
        # An operator that parts of the graph share is fitted more than once.
        own = self._of(nvt.ops.Categorify)
        for op in own:
            op.earlier = known
        super().fit(dataset)
        for op in own:
            op.earlier = None
        for op, before in zip(self._of(nvt.ops.Normalize), state.moments, strict=True):
            op.means, op.stds = dict(before.means), dict(before.stds)

    @property
    def state(self) -> WorkflowState:
        """What its operators have learned."""
        vocabularies: dict[str, str] = {}
        for op in self._of(nvt.ops.Categorify):
            vocabularies |= {str(name): Path(path).name for name, path in op.categories.items()}
        for column in self.output_schema:
            if path := column.properties.get("cat_path"):
                vocabularies[column.name] = Path(str(path)).name
        return WorkflowState(
            vocabularies=vocabularies,
            moments=tuple(
                Moments(means=_floats(op.means), stds=_floats(op.stds))
                for op in self._of(nvt.ops.Normalize)
            ),
        )

    def _of(self, kind: type) -> list[Any]:
        """Return the operators of a kind, those of subgraphs among them."""
        return [op for op in self._operators() if isinstance(op, kind)]

    def _require_own_files(self) -> None:
        """Refuse two operators that would write one vocabulary file, each over the other's."""
        owners: dict[tuple[str, str], Any] = {}
        for node in iter_nodes([self.output_node], flatten_subgraphs=True):
            if not isinstance(node.op, nvt.ops.Categorify):
                continue
            for group in node.input_columns.grouped_names:
                name = group if isinstance(group, str) else node.op.name_sep.join(group)
                if owners.setdefault((str(node.op.out_path), name), node.op) is not node.op:
                    raise ValueError(
                        f"Two Categorify operators would both write the vocabulary of {name!r} "
                        f"into {node.op.out_path}. Give each its own `out_path`."
                    )

    def _transform_impl(self, dataset: Dataset, capture_dtypes: bool = False) -> Dataset:
        return super()._transform_impl(self._taken(dataset), capture_dtypes)

    def _taken(self, dataset: Dataset) -> Dataset:
        """Return the data set in columns that all operators take."""
        if self.takes_arrow or not on_cpu(dataset.to_ddf()._meta):
            return dataset
        frame = dataset.to_ddf()
        frame = frame.map_partitions(without_arrow, meta=without_arrow(frame._meta))
        return Dataset(frame, cpu=True, schema=dataset.schema)

    @property
    def takes_arrow(self) -> bool:
        """Whether every operator works on Arrow columns; else the workflow runs on NumPy's."""
        return all(isinstance(op, _TAKE_ARROW) for op in self._operators())

    def _operators(self) -> Iterator[Any]:
        """Yield all operators, those of subgraphs among them."""
        for node in iter_nodes([self.output_node], flatten_subgraphs=True):
            yield node.op

    def save(self, path: str | Path, modules_byvalue: Any = None) -> None:
        """Write the workflow, its vocabularies and its state into the folder `path`."""
        stock = nvt.Workflow.__new__(nvt.Workflow)
        stock.__dict__.update(self.__dict__, graph=copy.deepcopy(self.graph))
        _replace(stock.graph, _STOCK)
        stock.save(str(path), modules_byvalue)
        self.state.write(Path(path))

    @classmethod
    def load(cls, path: str | Path, client: Any = None) -> Workflow:
        """Read a workflow that this class or stock NVTabular saved.

        The folder holds a pickle, which can run any code: load only what you trust.
        """
        stock = nvt.Workflow.load(str(path), client)
        workflow = cls.__new__(cls)
        workflow.__dict__.update(stock.__dict__)
        _replace(workflow.graph, _FAST)
        return workflow

    @property
    def row_filter(self) -> ops.Filter | None:
        """The workflow's last operator, if it is a `Filter` that can as well be the first.

        So it is if its function has an attribute ``columns``, the names that it reads, and nothing
        before it changes those or makes anything of several rows. Vocabularies and statistics are
        of all rows in any case.
        """
        op = self.output_node.op
        columns = getattr(getattr(op, "f", None), "columns", None)
        if not isinstance(op, ops.Filter) or columns is None:
            return None
        if not all(isinstance(o, _ROW_BY_ROW) for o in self._operators() if o is not op):
            return None
        for node in iter_nodes(list(self.output_node.parents_with_dependencies)):
            passes = isinstance(node.op, SelectionOp | ConcatColumns)
            if not passes and set(columns) & set(node.output_columns.names):
                return None
        return op

    def get_subworkflow(self, subgraph_name: str) -> Workflow:
        """Return the named part as a separate workflow."""
        return Workflow(self.graph.subgraph(subgraph_name).output_node)


def _replace(graph: Graph, classes: dict[type, type]) -> None:
    for node in iter_nodes([graph.output_node], flatten_subgraphs=True):
        if type(node.op) in classes:
            node.op.__class__ = classes[type(node.op)]


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
