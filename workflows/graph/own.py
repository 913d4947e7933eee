"""A graph of the user's own in the place of the one that is built from `features`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from merlin.dag.node import Node, iter_nodes
from merlin.schema import Schema
from nvtabular import ops

from towermill.columns import ENTITIES, ID_OF, TIMESTAMP, Entity
from towermill.errors import RecipeError
from towermill.features.config import Feature, Features
from towermill.registry import reference
from towermill.workflows.graph.build import ID_TAGS, TAGS, finished
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.selecting.signals import Wanted

#: The nodes of a graph, by entity.
Nodes = Mapping[Entity, Any]


def load_graph(name: str, tables: Mapping[Entity, pl.LazyFrame | None]) -> Nodes:
    """Return the result of the function ``module:Name`` for the columns of the tables.

    Parameters
    ----------
    name
        The function: it takes the names of the raw columns by entity (``user``, ``item``,
        ``context``) and returns a node of NVTabular operators by entity. The nodes of users and of
        items output ``user_id`` and ``item_id``, encoded by a `Categorify`.
    tables
        The raw tables, by entity; those of the context are the interactions.

    Raises
    ------
    RecipeError
        The function cannot be imported, returns something else, or its nodes lack an id.
    """
    columns = {
        entity: [] if table is None else table.collect_schema().names()
        for entity, table in tables.items()
    }
    nodes = reference(name).load()(columns)
    good = isinstance(nodes, Mapping) and all(isinstance(node, Node) for node in nodes.values())
    if not good or not {"user", "item"} <= set(nodes) <= set(ENTITIES):
        raise RecipeError(
            f"`features.graph: {name}` should return nodes of NVTabular operators for user, item "
            f"and, if there is one, context. Received: {nodes!r}."
        )
    for entity, key in ID_OF.items():
        read = _read_by(nodes[entity])
        if key not in read:
            raise RecipeError(
                f"`features.graph: {name}` should encode {key!r} in the node of {entity!r}, by a "
                f"Categorify. The node reads: {', '.join(read)}."
            )
    found: Nodes = nodes
    return found


def raw_columns(nodes: Nodes) -> dict[Entity, Features]:
    """Return the raw columns that the nodes read, beside ids and the timestamp."""
    ignored = {*ID_OF.values(), TIMESTAMP}
    return {
        entity: {
            name: Feature(kind="raw")
            for name in (_read_by(nodes[entity]) if entity in nodes else ())
            if name not in ignored
        }
        for entity in ENTITIES
    }


def _read_by(node: Any) -> list[str]:
    """Return the names of the raw columns that a graph reads."""
    roots = [one for one in iter_nodes([node]) if not one.parents_with_dependencies]
    return list(dict.fromkeys(name for one in roots for name in one.selector.names))


def build_own_workflow(
    nodes: Nodes, signals: Iterable[str], positive: Mapping[str, Wanted], categories: Path
) -> Workflow:
    """Return the unfitted workflow of the user's nodes.

    Parameters
    ----------
    nodes
        See `load_graph`.
    signals, positive, categories
        See `towermill.workflows.graph.build.build_workflow`.
    """
    for op in {id(n.op): n.op for node in nodes.values() for n in iter_nodes([node])}.values():
        if isinstance(op, ops.Categorify):
            op.out_path = str(categories)
    return finished({str(entity): node for entity, node in nodes.items()}, signals, positive)


def tagged(workflow: Workflow, entities: Iterable[Entity]) -> Schema:
    """Return the workflow's output schema with the tags that models look for.

    Columns are tagged with their entity, and ids as ids.
    """
    tags: dict[str, list[Any]] = {}
    for entity in entities:
        for name in workflow.get_subworkflow(entity).output_schema.column_names:
            tags[name] = [TAGS[entity], *([ID_TAGS[name]] if name in ID_TAGS else [])]
    return Schema([c.with_tags(tags.get(c.name, [])) for c in workflow.output_schema])
