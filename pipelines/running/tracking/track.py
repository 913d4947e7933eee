"""Record a finished run: `towermill run --track`."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from towermill.errors import RecipeError, SetupError, TowermillError
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.plan import Selection
from towermill.pipelines.running.tracking import TRACKERS
from towermill.pipelines.running.tracking.base import Tracker
from towermill.pipelines.stages.stages import STAGE_NAMES

logger = logging.getLogger(__name__)


def open_tracker(text: str, selection: Selection | None = None) -> Tracker:
    """Return the tracker of ``name``, ``name:target`` or ``module:Name:target``.

    Raises
    ------
    RecipeError
        There is no such tracker, or `selection` does not reach the last stage.
    SetupError
        Its package is not installed, or its target cannot be reached.
    """
    if selection is not None and selection.last != STAGE_NAMES[-1]:
        raise RecipeError(
            f"A run is tracked when all stages are done. Received: --track {text} and a selection "
            f"that ends with {selection.last}. Leave out one of them."
        )
    name, _, target = text.partition(":")
    part, _, rest = target.partition(":")
    # Otherwise a misspelled name, and a target such as http://localhost.
    if name not in TRACKERS.names() and ("." in name or _is_module(name)):
        name, target = f"{name}:{part}", rest
    return TRACKERS.get(name)(target)


def record(tracker: Tracker, run: RunFiles) -> None:
    """Record a finished run, and say where.

    Raises
    ------
    SetupError
        It could not be recorded: the run is complete all the same.
    """
    try:
        place = tracker.track(run)
    except TowermillError:
        raise
    except Exception as error:
        raise SetupError(
            f"The run is complete, but it could not be tracked ({type(error).__name__}: {error}). "
            "The same command tries again; no stage runs twice."
        ) from error
    logger.info("tracked: %s", place)


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # it is loaded, and does not say from where
        return True
