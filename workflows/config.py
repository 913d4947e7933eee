"""The `features` section of a recipe. Nothing here imports NVTabular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from towermill.columns import ENTITIES, ITEM_ID, RAW_PREFIX, RESERVED, TIMESTAMP, USER_ID, Entity
from towermill.errors import RecipeError
from towermill.features.config import Feature, Features, names_refused
from towermill.section import PartName, Section
from towermill.workflows.selecting.signals import Wanted, Weights
from towermill.workflows.selecting.split import Split

#: Options of a vocabulary: of columns that share one, those of its owner count.
_OF_VOCABULARY = ("freq_threshold", "max_size", "num_buckets")


class FeatureConfig(Section):
    """The `features` section of a recipe.

    Parameters
    ----------
    user, item, context
        Raw column to feature. If set, it replaces the source's proposal for that entity.
    ids
        Categorify options of ``user_id`` and ``item_id``.
    positive
        Signal to a minimum, or to a list of values: train and evaluate only on rows in which each
        of these signals reaches the minimum, or has one of the values. Dropped rows still count for
        the vocabularies, as in Merlin's Ali-CCP example.
    weights
        Signal to the weights of its values (``{event: {view: 1, buy: 5}}``): how much a row counts
        in training. A value that is not listed weighs 1; several signals are multiplied.
    graph
        ``module:Name`` of a function that returns your own NVTabular graph: see
        docs/extending/features.md. It can be combined with titles only.
    history
        For interactions: write each user's items in the order of time, for models whose query is a
        history. Left out, they are written if `model` reads them.
    history_size
        Keep at most this many items of a history, the last ones: 20 of impressions, 500 of
        interactions, unless it is set.
    """

    user: Features | None = None
    item: Features | None = None
    context: Features | None = None
    ids: dict[Literal["user_id", "item_id"], Feature] = Field(default_factory=dict)
    positive: dict[str, Wanted] = Field(default_factory=dict)
    weights: dict[str, Weights] = Field(default_factory=dict)
    graph: Annotated[str | None, PartName()] = None
    history: bool | None = None
    history_size: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_graph(self) -> FeatureConfig:
        named = {
            n: f for own in (self.user, self.item, self.context) for n, f in (own or {}).items()
        }
        inputs = [name for name, feature in named.items() if feature.encoder.is_input]
        if self.graph is not None and (inputs or self.ids):
            raise ValueError(
                f"`graph` makes all inputs of the model; {', '.join(inputs or self.ids)} should "
                "not be named beside it. Leave one of the two out"
            )
        return self

    def over(self, proposed: Mapping[str, Features]) -> dict[Entity, Features]:
        """Return each entity's features: this section's where given, else those `proposed`.

        Raises
        ------
        RecipeError
            A name occurs twice, options contradict one another, or a `shared_with` names no
        categorical feature.
        """
        chosen: dict[Entity, Features] = {}
        for entity in ENTITIES:
            own: Features | None = getattr(self, entity)
            chosen[entity] = dict(proposed.get(entity, {})) if own is None else own
        if self.graph is not None:
            chosen = {entity: _beside_graph(own) for entity, own in chosen.items()}
        raw = [n for own in chosen.values() for n, f in own.items() if f.encoder.needs_graph]
        if raw:
            raise RecipeError(
                f"The column {raw[0]!r} is of kind raw, which `features.graph` reads, and the "
                "recipe names no graph. Give the column another kind, or name your graph."
            )
        _check(chosen)
        for name, feature in self.ids.items():
            _check_options(f"ids.{name}", feature)
            if feature.kind != "category" or feature.shared_with or feature.boundaries is not None:
                raise RecipeError(
                    f"`features.ids.{name}` should be a category with its own vocabulary. "
                    "Let the other feature name it in its `shared_with`."
                )
            if feature.num_buckets:
                raise RecipeError(
                    f"`features.ids.{name}.num_buckets` would give several of them one id, and so "
                    "one history and one embedding. Use `freq_threshold` or `max_size` instead, or "
                    "hash a feature."
                )
        return chosen


def _beside_graph(features: Features) -> Features:
    """Return the features that no model takes: a graph of the user's own makes all others."""
    return {name: feature for name, feature in features.items() if not feature.encoder.is_input}


def check_for_impressions(features: FeatureConfig, split: Split) -> None:
    """Raise `RecipeError` if the sections ask for what no source of impressions has."""
    named = ("user", "positive", "weights")
    if key := next((name for name in named if getattr(features, name)), None):
        raise RecipeError(
            f"`features.{key}` should be empty for a source of impressions: a reader is known by "
            "the history. Leave it out."
        )
    if features.graph is not None:
        raise RecipeError(
            "`features.graph` is for interactions: the graph of impressions encodes lists of "
            "articles by their one vocabulary. Leave it out."
        )
    if split.min_signal:
        raise RecipeError(
            "`split.min_signal` is for interactions: of impressions, clicks are the answers. Leave "
            "it out."
        )
    if split.kind not in ("given", "time", "random") or (
        split.kind == "random" and split.by == "user"
    ):
        raise RecipeError(
            "`split` of impressions should be of kind given, time, or random by row. Received: "
            f"{split.kind}{' by user' if split.kind == 'random' else ''}."
        )


def check_for_sessions(features: FeatureConfig, split: Split) -> None:
    """Raise `RecipeError` if a split by session has other sections that do not suit it."""
    if split.kind != "session":
        return
    if not features.history:
        raise RecipeError(
            "`split.kind: session` is for models that read histories: a session of validation or "
            "test is queried by its items. Set `model.kind: history`, or choose another split."
        )
    for key in ("positive", "graph"):
        if getattr(features, key):
            other = ", or filter the log by `filters.min_signal`" if key == "positive" else ""
            raise RecipeError(
                f"`features.{key}` should be empty with `split.kind: session`, whose queries hold "
                f"all items of a session. Leave it out{other}."
            )


def _check(features: Mapping[Entity, Features]) -> None:
    seen: dict[str, Entity] = {}
    for entity, columns in features.items():
        if refused := names_refused(columns):
            raise RecipeError(f"`features.{entity}`: {refused}.")
        for name, feature in columns.items():
            if name in seen or name in (USER_ID, ITEM_ID) or name == TIMESTAMP:
                raise RecipeError(
                    f"`features.{entity}` may name a column once, and not the ids or the "
                    f"timestamp. Received twice: {name!r}. Rename the column in the raw data."
                )
            if name in RESERVED or name.startswith(RAW_PREFIX):
                raise RecipeError(
                    f"`features.{entity}` names the column {name!r}; {', '.join(RESERVED)} and "
                    f"names that begin with {RAW_PREFIX!r} are reserved for Towermill. "
                    "Rename the column in the raw data."
                )
            if feature.column is not None:
                raise RecipeError(
                    f"`features.{entity}.{name}` should have no `column`: it belongs under `source`"
                    " of kind table, where the raw column is read."
                )
            alike = next((one for one in seen if one.lower() == name.lower()), None)
            if alike is not None:
                raise RecipeError(
                    f"Features should have names that differ in more than case. Received: {alike} "
                    f"and {name}. Rename one."
                )
            seen[name] = entity
            if not feature.encoder.from_column and entity != "context":
                raise RecipeError(
                    f"`features.{entity}.{name}`: a feature of kind {feature.kind} belongs to the "
                    "moment, so it goes under `features.context`."
                )
            _check_options(f"{entity}.{name}", feature)
    flat = {n: f for columns in features.values() for n, f in columns.items()}
    shareable = {name for name, feature in flat.items() if feature.encoder.shares_vocabulary}
    for name, feature in flat.items():
        head = feature.shared_with
        if head is None:
            continue
        own = head in (USER_ID, ITEM_ID) or (head in shareable and flat[head].shared_with is None)
        if name not in shareable or not own:
            raise RecipeError(
                f"`{name}.shared_with` should name a category or list that has a vocabulary of its "
                f"own, and be set on a category or list. Received: {head!r}."
            )
        if ignored := [n for n in _OF_VOCABULARY if getattr(feature, n)]:
            raise RecipeError(
                f"`{name}.{ignored[0]}` has no effect, as the vocabulary is that of {head!r} "
                f"(`shared_with`). Set `{ignored[0]}` there."
            )


def _check_options(at: str, feature: Feature) -> None:
    wrong = feature.encoder.check(feature)
    if wrong:
        raise RecipeError(f"`features.{at}` {wrong}.")
