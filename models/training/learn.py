"""Compute a model's weights: by steps, in closed form, or part by part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from towermill.errors import RecipeError
from towermill.models.configs.base import ModelConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.interactions import Processed
from towermill.models.training.checkpoints import TrainState
from towermill.models.training.fill_untrained import fill_untrained_rows
from towermill.models.training.fit import AfterEpoch, Batches, fit
from towermill.models.training.grow import grow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lesson:
    """The data and settings of a training.

    Attributes
    ----------
    data
        The processed data.
    train
        The recipe's `train` section, its batch size chosen.
    folder
        Holds checkpoints and TensorBoard's logs.
    seed
        Seed of batches and draws.
    monitor, validate, after_epoch
        See `fit`.
    earlier
        The data and the model of the run being continued.
    """

    data: Processed
    train: TrainConfig
    folder: Path
    seed: int
    monitor: str
    validate: Callable[[Any], dict[str, float]] | None = None
    after_epoch: AfterEpoch | None = None
    earlier: tuple[Processed, Any] | None = None

    def score(self, model: Any) -> float | None:
        """Return `monitor` on the validation split; None without one."""
        return None if self.validate is None else self.validate(model)[self.monitor]

    def of_part(self, place: int) -> Lesson:
        """Return the lesson of a part of a blend."""
        earlier = self.earlier and (self.earlier[0], self.earlier[1].retrievers[place])
        folder = self.folder / "parts" / str(place)
        return replace(self, folder=folder, earlier=earlier, after_epoch=None)


def learn(model: Any, config: ModelConfig, lesson: Lesson) -> TrainState:
    """Compute the weights of `model`, which `config` created; return the record of its epochs.

    Raises
    ------
    DataError, RecipeError
        See `fit`; or the kind trains and gives no batches.
    """
    if config.blended:
        return _learn_parts(model, config, lesson)
    if not config.trains:
        config.solve(model, lesson.data, seed=lesson.seed)
        return TrainState(best=lesson.score(model))
    before = None
    if lesson.earlier is not None:
        before, known = lesson.earlier
        grow(model, lesson.data, known, before.items.height)
    state = fit(
        model,
        _batches(config, lesson),
        lesson.train,
        lesson.folder,
        monitor=lesson.monitor,
        validate=lesson.validate,
        after_epoch=lesson.after_epoch,
    )
    fill_untrained_rows(model, lesson.data, before)
    return state


def _learn_parts(model: Any, config: ModelConfig, lesson: Lesson) -> TrainState:
    """Learn each part of a blend, then choose its weights on the validation split."""
    state = TrainState()
    for place, (part, own) in enumerate(zip(model.retrievers, config.blended, strict=True)):
        logger.info("part %d of %d: %s", place + 1, len(config.blended), own.kind)
        found = learn(part, own, lesson.of_part(place))
        state.history += [{"part": own.kind, **record} for record in found.history]
    model.prepare(lesson.data)
    validate = lesson.validate
    if validate is None or model.weighted:
        state.best = lesson.score(model)
        return state
    chosen, tried = model.weigh(lambda blend: validate(blend)[lesson.monitor])
    state.best = tried[chosen]
    for weights in sorted(tried):
        logger.debug("weights %s: %s %.4f", weights, lesson.monitor, tried[weights])
    shares = ", ".join(f"{own.kind} {w:g}" for own, w in zip(config.blended, chosen, strict=True))
    logger.info("weights: %s (%s %.4f)", shares, lesson.monitor, tried[chosen])
    return state


def _batches(config: ModelConfig, lesson: Lesson) -> Batches:
    batches = config.batches(lesson.data, batch_size=lesson.train.batch_size, seed=lesson.seed)
    if batches is None:
        raise RecipeError(
            f"`model.kind: {config.kind}` should give training batches of {lesson.data.events}, "
            "and gives none: it would be exported untrained. Implement `batches` of its "
            "configuration, or declare `trains = False` if there is nothing to fit."
        )
    return batches
