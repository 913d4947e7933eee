"""From roles to an NVTabular graph whose outputs carry Merlin's tags.

The graph has named subgraphs (of interactions ``user``, ``item``, ``context``; of impressions
``impression``, ``history``, ``item``), so that each table is encoded by the very operators that
were fitted on all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merlin.dag.ops.subgraph import Subgraph
from merlin.schema import Tags
from nvtabular import ColumnSelector, ops

from towermill.columns import (
    CLICKED,
    ENTITIES,
    HISTORY,
    INVIEW,
    ITEM_ID,
    OOV_ID,
    TIMESTAMP,
    USER_ID,
    Entity,
)
from towermill.errors import DataError, RecipeError
from towermill.features.config import Feature, Features
from towermill.workflows.dataset import narrowed
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.selecting.signals import AllOf, Wanted, conditions_of

TAGS: dict[str, Tags] = {"user": Tags.USER, "item": Tags.ITEM, "context": Tags.CONTEXT}
ID_TAGS: dict[str, Tags] = {USER_ID: Tags.USER_ID, ITEM_ID: Tags.ITEM_ID}


class Part(Subgraph):  # type: ignore[misc]
    """`Subgraph` that may share an operator with another, which stock leaves without a schema."""

    graph: Any

    def compute_input_schema(
        self, root_schema: Any, parents_schema: Any, deps_schema: Any, selector: Any
    ) -> Any:
        # Again after a fit, which may have seen other types: NumPy's, where an operator of the
        # user's takes no Arrow columns.
        self.graph = self.graph.construct_schema(root_schema)
        return self.graph.input_schema

    def fit(self, col_selector: Any, dataset: Any) -> Any:
        return super().fit(col_selector, narrowed(dataset, self.graph._input_columns()))


def build_workflow(
    features: Mapping[Entity, Features],
    ids: Mapping[str, Feature],
    signals: Iterable[str],
    positive: Mapping[str, Wanted],
    categories: Path,
    histories: bool = False,
) -> Workflow:
    """Return the unfitted workflow.

    Parameters
    ----------
    features
        Per entity, raw column to feature.
    ids
        Categorify options of ``user_id`` and ``item_id`` where they are not the defaults.
    signals
        Columns that pass unchanged (rating, click, timestamp, cold flags).
    positive
        See `FeatureConfig`.
    categories
        Folder for the vocabularies while the workflow is fitted; `Workflow.save` copies them.
    histories
        Whether rows have a ``history``, which becomes a part of its own.
    """
    columns = {USER_ID: _Column("user", ids.get(USER_ID, Feature()), "user")}
    columns[ITEM_ID] = _Column("item", ids.get(ITEM_ID, Feature()), "item")
    for entity in ENTITIES:
        columns |= _columns(features.get(entity, {}), entity, entity)
    if histories:
        columns[HISTORY] = _Column("history", Feature(kind="list", shared_with=ITEM_ID))
    return finished(_parts(columns, categories), signals, positive)


def finished(
    nodes: Mapping[str, Any], signals: Iterable[str], positive: Mapping[str, Wanted]
) -> Workflow:
    """Return the workflow of named parts, signals that pass unchanged, and the filter of rows."""
    outputs = _joined(nodes)
    for name in signals:
        outputs = outputs + [name]  # noqa: RUF005 - the operator of the graph, not of lists
    if positive:
        outputs = outputs >> ops.Filter(AllOf(conditions_of(positive)))
    return Workflow(outputs)


def build_impression_workflow(
    features: Mapping[Entity, Features],
    ids: Mapping[str, Feature],
    passed: Sequence[str],
    categories: Path,
) -> Workflow:
    """Return the unfitted workflow of impressions, histories and articles.

    Its parts are ``impression`` (user, what was shown and clicked, context, and what is `passed`
    unchanged), ``history`` and ``item``. Articles have one vocabulary in all columns.

    Parameters
    ----------
    features, ids, categories
        See `build_workflow`; there are no user features.
    passed
        Columns of impressions that pass unchanged.
    """
    lists = Feature(kind="list", shared_with=ITEM_ID)
    columns = {
        USER_ID: _Column("impression", ids.get(USER_ID, Feature()), "user"),
        ITEM_ID: _Column("item", ids.get(ITEM_ID, Feature()), "item"),
        INVIEW: _Column("impression", lists),
        CLICKED: _Column("impression", lists),
        HISTORY: _Column("history", lists, "user"),
        **_columns(features.get("context", {}), "context", "impression"),
        **_columns(features.get("item", {}), "item", "item"),
    }
    nodes = _parts(columns, categories)
    nodes["impression"] = nodes["impression"] + list(passed)
    return Workflow(_joined(nodes))


def _joined(nodes: Mapping[str, Any]) -> Any:
    """Return the named nodes side by side, each as a part of the graph."""
    outputs: Any = None
    for name, node in nodes.items():
        part = Part(name, node)
        outputs = part if outputs is None else outputs + part
    return outputs


@dataclass(frozen=True)
class _Column:
    """A column to encode: the part of the graph that it is of, and the entity of its tag."""

    part: str
    feature: Feature
    entity: Entity | None = None


def _columns(features: Features, entity: Entity, part: str) -> dict[str, _Column]:
    return {n: _Column(part, f, entity) for n, f in features.items() if f.encoder.is_input}


def _parts(columns: Mapping[str, _Column], categories: Path) -> dict[str, Any]:
    """Return each part's node, with the tags of its columns."""
    encoded = _categories({name: column.feature for name, column in columns.items()}, categories)
    nodes: dict[str, Any] = {}
    for name, column in columns.items():
        node = encoded[name] if name in encoded else _node(name, column.feature)
        tags = [TAGS[column.entity]] if column.entity else []
        if name in ID_TAGS:
            tags.append(ID_TAGS[name])
        if name not in encoded:
            tags.append(Tags.CONTINUOUS)
        node = node >> ops.AddMetadata(tags=tags)
        nodes[column.part] = nodes[column.part] + node if column.part in nodes else node
    return nodes


def _categories(flat: Mapping[str, Feature], folder: Path) -> dict[str, Any]:
    """Return name to Categorify node; features that share a vocabulary share one operator."""
    groups: dict[str, list[str]] = {}
    for name, feature in flat.items():
        if feature.is_category:
            groups.setdefault(feature.shared_with or name, []).append(name)

    nodes: dict[str, Any] = {}
    for head, members in groups.items():
        options = flat[head]
        shared = len(members) > 1
        encode = ops.Categorify(
            encode_type="joint",
            out_path=str(folder),
            freq_threshold=options.freq_threshold,
            # Categorify also counts the ids of no category (padding, null, unknown).
            max_size=options.max_size + OOV_ID + max(options.num_buckets, 1)
            if options.max_size
            else 0,
            num_buckets=options.num_buckets or None,
            dtype="int32",
        )
        if shared:
            _require_plain(members, flat)
        inputs = [members] if shared else _node(head, options)
        node = inputs >> encode
        for name in members:
            column = node[name] if shared else node
            limit = flat[name].max_length
            nodes[name] = column >> ops.ListSlice(limit) if limit else column
    return nodes


def _require_plain(members: Sequence[str], flat: Mapping[str, Feature]) -> None:
    """Refuse derived features: one Categorify of several columns encodes them as they are."""
    for name in members:
        if not isinstance(_node(name, flat[name]), ColumnSelector):
            raise RecipeError(
                f"The feature {name!r} is derived from its column (kind {flat[name].kind!r}) and "
                "cannot share a vocabulary. Remove `shared_with`."
            )


def _node(name: str, feature: Feature) -> Any:
    return feature.encoder.node(name, feature)


def require_timestamp(features: Mapping[Entity, Features], columns: Iterable[str]) -> None:
    """Raise `DataError` if a feature is derived from a timestamp that is not there."""
    if TIMESTAMP in set(columns):
        return
    for entity, named in features.items():
        for name, feature in named.items():
            if feature.encoder.needs_timestamp:
                raise DataError(
                    f"Feature {name!r} of `features.{entity}` ({feature.kind}) needs a timestamp; "
                    "the interactions have none. Name the column in the source, or leave the "
                    "feature out."
                )
