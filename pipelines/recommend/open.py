"""Open a recommender: a bundle, or a YAML file that combines bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from towermill.errors import RecipeError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Recommender


def _blend(section: Any) -> Recommender:
    from towermill.pipelines.recommend.blend import Blend, BlendConfig  # which may need TensorFlow

    return Blend.of(BlendConfig.model_validate(section))


def _funnel(section: Any) -> Recommender:
    from towermill.pipelines.recommend.funnel import Funnel, FunnelConfig

    return Funnel(FunnelConfig.model_validate(section))


#: The one key of such a file, and what opens its section.
KINDS: Final[dict[str, Callable[[Any], Recommender]]] = {
    "blend": _blend,
    "funnel": _funnel,
}


def open_recommender(path: str | Path) -> Recommender:
    """Open a bundle's folder, or a YAML file with one of the keys of `KINDS`.

    Paths in the file are relative to the working directory, as in recipes.

    Raises
    ------
    RecipeError
        The file is not YAML, or its keys are not as they should be.
    BundleError
        A bundle is not there or not whole.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        return Bundle.open(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"Cannot read {path} as YAML: {error}") from error
    kinds = " or ".join(f"`{kind}:`" for kind in KINDS)
    if not isinstance(content, dict) or len(content) != 1 or next(iter(content)) not in KINDS:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else "no keys"
        raise RecipeError(f"{path} should have the one key {kinds}. It has: {keys}.")
    kind, section = next(iter(content.items()))
    try:
        return KINDS[kind](section)
    except ValidationError as error:
        lines = [
            f"`{'.'.join([kind, *map(str, problem['loc'])])}`: {problem['msg']}. "
            f"Received: {problem['input']!r}"
            for problem in error.errors()
        ]
        raise RecipeError(f"{path} is not a valid {kind}:\n  " + "\n  ".join(lines)) from None
