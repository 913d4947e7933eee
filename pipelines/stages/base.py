"""The class of a stage, and the view of a recipe that a stage receives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from towermill.errors import StageError
from towermill.features.base import KINDS
from towermill.models.evaluation import PROTOCOLS
from towermill.models.metrics import METRICS
from towermill.registry import Place
from towermill.section import modules_of

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.gpu import Use

Inputs = Mapping[str, Path]


def protocol(recipe: Recipe) -> Sequence[Place]:
    """Return where the evaluation protocol of the recipe's events, and its metrics, are defined."""
    metrics = METRICS[recipe.events]
    named = [metrics.place(name) for name in recipe.evaluate.metrics]
    return (PROTOCOLS.place(recipe.events), *metrics.own.values(), *named)


def feature_kinds(recipe: Recipe) -> Sequence[Place]:
    """Return where the feature kinds are defined that the source may propose.

    Towermill's own sources propose Towermill's own kinds; another package's also declared ones.
    """
    found = [*KINDS.own.values()]
    if type(recipe.source).__module__.partition(".")[0] != "towermill":
        found += [place for places in KINDS.others.values() for place in places]
    return tuple(found)


def model_on_gpu(recipe: Recipe) -> Use:
    """Return what computes on a GPU: TensorFlow."""
    return "model"


def _nothing(recipe: Recipe) -> Sequence[Any]:
    return ()


def _no_gpu(recipe: Recipe) -> Use | None:
    return None


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes
    ----------
    name, inputs
        Its name, and those of the stages whose output it reads.
    sections
        The sections of the recipe (dotted keys) that it may read; they are part of its key.
    module
        The module that computes it. The key holds the code of all that this module imports.
    run
        The function: sections of the recipe, folders of the inputs, output folder, runtime.
    parts
        Parts of Towermill that it finds by name, beside those that its sections name.
    files
        Raw files that it reads; their fingerprints are part of its key.
    earlier
        Stages of the run that is continued, if one is, whose output it reads: they are among its
        inputs as ``earlier.<name>``.
    resumes
        Whether an interrupted run resumes in its folder.
    spreads
        Whether part of its work runs on a Dask cluster, if there is one.
    gpu
        What computes on a GPU, with device gpu; None if nothing does.
    """

    name: str
    inputs: tuple[str, ...]
    sections: tuple[str, ...]
    module: str
    run: Callable[..., None]
    parts: Callable[[Recipe], Sequence[Place]] = _nothing
    files: Callable[[Recipe], Sequence[Path]] = _nothing
    earlier: tuple[str, ...] = ()
    resumes: bool = False
    spreads: bool = False
    gpu: Callable[[Recipe], Use | None] = _no_gpu

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """Return the values of its sections by dotted key, as JSON types."""
        return {dotted: to_jsonable_python(_read(recipe, dotted)) for dotted in self.sections}

    def roots(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the modules whose imports are the code of the stage, for this recipe."""
        return tuple(sorted({self.module, *self._modules(recipe)}))

    def _modules(self, recipe: Recipe) -> Iterator[str]:
        yield from (place.module for place in self.parts(recipe))
        for dotted in self.sections:
            yield from modules_of(_read(recipe, dotted))


def _read(recipe: Recipe, dotted: str) -> Any:
    """Return the value of a dotted key; None if a section on the way to it is None."""
    value: Any = recipe
    for part in dotted.split("."):
        value = None if value is None else getattr(value, part)
    return value


class Declared:
    """The sections of a recipe that a stage declares; reading any other is an error.

    Parameters
    ----------
    value
        The recipe, or a section of it.
    sections
        Dotted keys that may be read.
    stage
        Name of the stage, for messages.
    within
        Dotted key of `value`, with a trailing dot; empty for the recipe.

    Examples
    --------
    >>> from towermill.pipelines import validate_recipe
    >>> recipe = validate_recipe({"name": "r", "source": {"kind": "synthetic"}})
    >>> Declared(recipe, ("train", "evaluate.query"), "train").evaluate.query
    'user'
    >>> Declared(recipe, ("train",), "train").split  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    towermill.errors.StageError: Stage 'train' reads `split` of the recipe and declares only: ...
    """

    def __init__(self, value: Any, sections: Sequence[str], stage: str, within: str = "") -> None:
        self._value, self._sections, self._stage, self._within = value, sections, stage, within

    def __getattr__(self, name: str) -> Any:
        dotted = f"{self._within}{name}"
        if dotted in self._sections:
            return getattr(self._value, name)
        if any(section.startswith(f"{dotted}.") for section in self._sections):
            inner = getattr(self._value, name)
            if inner is None:
                return None
            return Declared(inner, self._sections, self._stage, f"{dotted}.")
        raise StageError(
            f"Stage {self._stage!r} reads `{dotted}` of the recipe and declares only: "
            f"{', '.join(self._sections)}. Add it to the sections of the stage, so that the key of "
            "its output holds it."
        )

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        """Return the declared sections, as `Recipe.model_dump` returns all."""
        content = self._value.model_dump(mode=mode)
        found: dict[str, Any] = {}
        for section in self._sections:
            own, _, key = section.removeprefix(self._within).partition(".")
            if not section.startswith(self._within):
                continue
            if not key or content[own] is None:
                found[own] = content[own]
            else:
                found[own] = {**found.get(own, {}), key: content[own][key]}
        return found

    def __reduce__(self) -> Any:
        return type(self), (self._value, self._sections, self._stage, self._within)
