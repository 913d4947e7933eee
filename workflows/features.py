"""From roles to an NVTabular graph whose outputs carry Merlin's tags.

The graph has one named subgraph an entity (``user``, ``item``, ``context``), so that the items and
users of a catalogue are encoded by the very operators that were fitted on the interactions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nvtabular as nvt
from merlin.dag.ops.subgraph import Subgraph
from merlin.schema import Tags
from nvtabular import ops

from towermill.columns import (
    ENTITIES,
    ITEM_ID,
    OOV_ID,
    TIMESTAMP,
    USER_ID,
    Entity,
    Feature,
    Features,
)
from towermill.errors import DataError
from towermill.workflows.dataset import narrowed
from towermill.workflows.workflow import Workflow

_TAGS: dict[str, Tags] = {"user": Tags.USER, "item": Tags.ITEM, "context": Tags.CONTEXT}
_ID_TAGS: dict[str, Tags] = {USER_ID: Tags.USER_ID, ITEM_ID: Tags.ITEM_ID}
SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True)
class AtLeast:
    """Row mask for `Filter`: every named signal is at least its threshold (pandas and cuDF)."""

    thresholds: tuple[tuple[str, float], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads: of the raw data, so that it may go before the encoding."""
        return tuple(name for name, _ in self.thresholds)

    def can_hold(self, greatest: Mapping[str, Any]) -> bool:
        """Tell whether rows with these greatest values may have one to keep."""
        return all(greatest.get(name, least) >= least for name, least in self.thresholds)

    def __call__(self, frame: Any) -> Any:
        mask = None
        for name, threshold in self.thresholds:
            reached = frame[name] >= threshold
            mask = reached if mask is None else mask & reached
        return mask


def hour_of_day(column: Any) -> Any:
    """Return 0 … 23."""
    return column.dt.hour


def day_of_week(column: Any) -> Any:
    """Return 0 (Monday) … 6."""
    return column.dt.weekday


def days_since(column: Any, frame: Any) -> Any:
    """Return the days from `column` to the row's timestamp, as float."""
    seconds = (frame[TIMESTAMP] - column).astype("timedelta64[s]").astype("int64")
    return seconds.astype("float32").where(column.notna()) / SECONDS_A_DAY


class Part(Subgraph):  # type: ignore[misc]
    """`Subgraph` that may share an operator with another, which stock leaves without a schema."""

    graph: Any

    def compute_input_schema(
        self, root_schema: Any, parents_schema: Any, deps_schema: Any, selector: Any
    ) -> Any:
        if self.graph.output_schema is None:
            self.graph = self.graph.construct_schema(root_schema)
        return self.graph.input_schema

    def fit(self, col_selector: Any, dataset: Any) -> Any:
        return super().fit(col_selector, narrowed(dataset, self.graph._input_columns()))


class Intervals(ops.Bucketize):  # type: ignore[misc]
    """`Bucketize` that leaves a missing number missing (stock puts it in the last interval)."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        intervals = super().transform(col_selector, df)
        for name in col_selector.names:
            intervals[name] = intervals[name].where(df[name].notna())
        return intervals


def build_workflow(
    features: Mapping[Entity, Features],
    ids: Mapping[str, Feature],
    signals: Iterable[str],
    positive: Mapping[str, float],
    categories: Path,
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
    """
    flat = {USER_ID: ids.get(USER_ID, Feature()), ITEM_ID: ids.get(ITEM_ID, Feature())}
    owner: dict[str, Entity] = {USER_ID: "user", ITEM_ID: "item"}
    for entity in ENTITIES:
        for name, feature in features.get(entity, {}).items():
            if feature.kind != "title":
                flat[name], owner[name] = feature, entity

    encoded = _categories(flat, categories)
    nodes: dict[Entity, Any] = {}
    for name, feature in flat.items():
        node = encoded[name] if name in encoded else _number(name, feature)
        tags = [_TAGS[owner[name]]]
        if name in _ID_TAGS:
            tags.append(_ID_TAGS[name])
        if name not in encoded:
            tags.append(Tags.CONTINUOUS)
        node = node >> ops.AddMetadata(tags=tags)
        nodes[owner[name]] = nodes[owner[name]] + node if owner[name] in nodes else node

    outputs: Any = None
    for entity, node in nodes.items():
        part = Part(entity, node)
        outputs = part if outputs is None else outputs + part
    for name in signals:
        outputs = outputs + [name]  # noqa: RUF005 - the operator of the graph, not of lists
    if positive:
        outputs = outputs >> ops.Filter(AtLeast(tuple(positive.items())))
    return Workflow(outputs)


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
            # Categorify counts the ids that stand for no category, too.
            max_size=options.max_size + OOV_ID + max(options.num_buckets, 1)
            if options.max_size
            else 0,
            num_buckets=options.num_buckets or None,
            dtype="int32",
        )
        inputs = [members] if shared else _category_input(head, options)
        node = inputs >> encode
        for name in members:
            column = node[name] if shared else node
            limit = flat[name].max_length
            nodes[name] = column >> ops.ListSlice(limit) if limit else column
    return nodes


def _category_input(name: str, feature: Feature) -> Any:
    if feature.kind in ("hour", "weekday"):
        part = hour_of_day if feature.kind == "hour" else day_of_week
        return [TIMESTAMP] >> ops.LambdaOp(part) >> ops.Rename(name=name)
    if feature.boundaries is not None:
        return _raw_number(name, feature) >> Intervals({name: list(feature.boundaries)})
    return nvt.ColumnSelector([name])


def _raw_number(name: str, feature: Feature) -> Any:
    if feature.kind == "age":
        return [name] >> ops.LambdaOp(days_since, dependency=[TIMESTAMP])
    return nvt.ColumnSelector([name])


def _number(name: str, feature: Feature) -> Any:
    node = _raw_number(name, feature)
    if feature.log:
        node = node >> ops.LogOp()
    if feature.normalize:
        node = node >> ops.Normalize(out_dtype="float32")
    # After Normalize, so that a missing number becomes the mean.
    return node >> ops.LambdaOp(_to_float32) >> ops.FillMissing(0.0)


def _to_float32(column: Any) -> Any:
    return column.astype("float32")


def require_timestamp(features: Mapping[Entity, Features], columns: Iterable[str]) -> None:
    """Raise `DataError` if a feature is derived from a timestamp that is not there."""
    if TIMESTAMP in set(columns):
        return
    for entity, named in features.items():
        for name, feature in named.items():
            if feature.kind in ("hour", "weekday", "age"):
                raise DataError(
                    f"Feature {name!r} of `features.{entity}` ({feature.kind}) needs a timestamp; "
                    "the interactions have none. Name the column in the source, or leave the "
                    "feature out."
                )
