"""A recipe: read from YAML, changed by ``--set``, checked before anything runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    Field,
    model_validator,
)

from towermill.columns import Events
from towermill.errors import RecipeError
from towermill.models.configs import MODELS
from towermill.models.configs.base import ModelConfig
from towermill.models.configs.train import TrainConfig, check_monitor
from towermill.models.metrics import METRICS, metrics_of
from towermill.pipelines.recipe.runtime import RuntimeConfig
from towermill.pipelines.recipe.sections import (
    ContinueConfig,
    EvaluateConfig,
    ExportConfig,
)
from towermill.pipelines.recipe.simulate import SimulateConfig
from towermill.pipelines.recipe.tune import TuneConfig
from towermill.section import PartSection, Section
from towermill.workflows.config import FeatureConfig, check_for_impressions, check_for_sessions
from towermill.workflows.selecting.filters import Filters
from towermill.workflows.selecting.signals import conditions_of, listed_values
from towermill.workflows.selecting.split import Split
from towermill.workflows.sources import SOURCES
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.text.config import TextConfig


class Recipe(Section):
    """From raw data to a bundle; all but `source` has a default."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    source: Annotated[SourceConfig, PartSection(SOURCES)]
    filters: Filters = Filters()
    split: Split = Split()
    features: FeatureConfig = FeatureConfig()
    text: TextConfig = TextConfig()
    model: Annotated[ModelConfig, PartSection(MODELS, "two_tower")] = Field(
        default={}, validate_default=True
    )
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    tune: TuneConfig | None = None
    continue_from: ContinueConfig | None = None
    simulate: SimulateConfig = SimulateConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @property
    def events(self) -> Events:
        """The kind of events that the source gives, for training and evaluation."""
        return self.source.events

    @model_validator(mode="after")
    def _of_one_protocol(self) -> Recipe:
        shown, learns = self.events == "impressions", self.model.learns_from
        if not shown and "interactions" not in learns:
            raise ValueError(
                f"`model.kind: {self.model.kind}` learns from impressions, and `source.kind: "
                f"{self.source.kind}` gives none. Use a source such as ebnerd, mind or news (with "
                "`rows: impressions`), or `model.kind: two_tower`"
            )
        if shown and "impressions" not in learns:
            raise ValueError(
                f"`model.kind: {self.model.kind}` learns from interactions, and `source.kind: "
                f"{self.source.kind}` gives impressions. Set `source.rows: clicks`, or "
                "`model.kind: nrms`"
            )
        if shown and self.filters != Filters():
            raise ValueError(
                "`filters` are for interactions; impressions are not filtered. Leave the "
                "section out, or set `source.rows: clicks`"
            )
        if shown and self.evaluate.baselines is not None:
            raise ValueError(
                "`evaluate.baselines` are of interactions; impressions have popularity, recency "
                "and random. Leave the key out, or set `source.rows: clicks`"
            )
        return self

    @model_validator(mode="after")
    def _histories_are_written(self) -> Recipe:
        of_interactions = self.events == "interactions"
        needed = of_interactions and self.model.reads_history
        if needed and self.features.history is False:
            raise ValueError(
                f"`features.history` should be true for `model.kind: {self.model.kind}`, whose "
                "query is the user's history. Set it, or leave it out"
            )
        if self.features.history and not of_interactions:
            raise ValueError(
                "`features.history` is for interactions: impressions have histories of their own. "
                "Leave it out, or set `source.rows: clicks`"
            )
        if self.features.history is None:
            told = self.features.model_copy(update={"history": needed})
            object.__setattr__(self, "features", told)
        return self

    @model_validator(mode="after")
    def _weights_are_used(self) -> Recipe:
        for model in (self.model, *self.model.blended) if self.features.weights else ():
            if not (model.reads_weights or model.blended):
                raise ValueError(
                    f"`features.weights` are not used by `model.kind: {model.kind}`. Choose a kind "
                    "that weighs its training rows, such as history, two_tower or dlrm; or name "
                    "the events that count in `features.positive`"
                )
        return self

    @model_validator(mode="after")
    def _text_signals_are_read_as_text(self) -> Recipe:
        asked = (
            self.filters.min_signal,
            self.split.min_signal,
            self.features.positive,
            listed_values(self.features.weights),
        )
        names = [one.signal for wanted in asked for one in conditions_of(wanted) if one.is_text]
        object.__setattr__(self, "source", self.source.reading_as_text(dict.fromkeys(names)))
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        given = self.events == "impressions" and getattr(self.source, "vectors", None)
        if given and self.text.vectors:
            raise ValueError(
                "`source.vectors` and `text.vectors` should not both be set: an article has one "
                "vector. Leave one of them out"
            )
        try:
            if self.events == "impressions":
                check_for_impressions(self.features, self.split)
            check_for_sessions(self.features, self.split)
            if self.split.kind == "session" and self.evaluate.filter_seen:
                raise RecipeError(
                    "`evaluate.filter_seen` should be false with `split.kind: session`: nobody has "
                    "seen anything before a new session. Set it."
                )
            metrics_of(METRICS[self.events], object, self.evaluate.metrics)
            if self.train.monitor is not None:
                check_monitor(
                    self.train.monitor,
                    self.events,
                    self.evaluate.metrics,
                    self.model.target_names,
                )
        except RecipeError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self
