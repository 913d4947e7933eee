"""Open a recommender: a bundle, or a YAML file that combines bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from towermill.errors import RecipeError, TowermillError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import MANIFEST
from towermill.pipelines.recommend.combined.base import FOLDER, Combination, CombinationConfig
from towermill.pipelines.recommend.combined.blend import BlendedBundles
from towermill.pipelines.recommend.combined.funnel import Funnel

#: The one key of such a file, and what opens its section.
KINDS: Final[dict[str, type[Combination]]] = {
    found.kind: found for found in (BlendedBundles, Funnel)
}


def is_combination(path: str | Path) -> bool:
    """Return whether a path is of a YAML file that combines bundles, not of a bundle's folder.

    Examples
    --------
    >>> is_combination("films.yaml"), is_combination("runs/films/latest/bundle")
    (True, False)
    """
    return Path(path).suffix in (".yaml", ".yml")


def open_recommender(path: str | Path, verify: bool = False) -> Bundle | Combination:
    """Open a bundle's folder, or a YAML file with one of the keys of `KINDS`.

    Paths in the file are relative to the file.

    Parameters
    ----------
    path
        The folder or the file.
    verify
        Verify the checksums of bundles; otherwise only sizes.

    Raises
    ------
    RecipeError
        The file is not YAML, or its keys are not as they should be.
    BundleError
        A bundle is not there or not whole.
    """
    path = Path(path)
    if not is_combination(path):
        return Bundle.open(path, verify)
    kind, config = read_combination(path)
    return KINDS[kind].open(config, path.stem, verify)


def manifests_of(path: str | Path) -> list[Path]:
    """Return the files that a published change of a bundle or a combination changes.

    They are the manifest of a bundle; of a YAML file, itself and the manifests of its bundles. Of
    a file that is not valid it is the file alone.
    """
    path = Path(path)
    if not is_combination(path):
        return [path / MANIFEST]
    try:
        _, config = read_combination(path)
    except TowermillError:
        return [path]
    return [path, *(bundle / MANIFEST for bundle in config.bundles)]


def read_combination(path: Path) -> tuple[str, CombinationConfig]:
    """Return the kind of the combination in a YAML file, and its section.

    Raises
    ------
    RecipeError
        The file is not YAML, or its keys are not as they should be.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"Cannot read {path} as YAML: {error}") from error
    kinds = " or ".join(f"`{kind}:`" for kind in KINDS)
    if not isinstance(content, dict) or len(content) != 1 or next(iter(content)) not in KINDS:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else "no keys"
        raise RecipeError(f"{path} should have the one key {kinds}. It has: {keys}.")
    kind, section = next(iter(content.items()))
    context: dict[str, Any] = {FOLDER: path.resolve().parent}
    try:
        return kind, KINDS[kind].section.model_validate(section, context=context)
    except ValidationError as error:
        lines = [
            f"`{'.'.join([kind, *map(str, problem['loc'])])}`: {problem['msg']}. "
            f"Received: {problem['input']!r}"
            for problem in error.errors()
        ]
        raise RecipeError(f"{path} is not a valid {kind}:\n  " + "\n  ".join(lines)) from None
