"""Copy modules of this package to a folder where they run without it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGE: Final = "towermill"


def ship(module: str, folder: Path) -> None:
    """Copy a module, and all that it imports of this package, to ``folder/towermill/…``.

    Packages come with an empty ``__init__.py``: those of this one import what is not wanted there.

    Parameters
    ----------
    module
        Its whole name.
    folder
        To be put on ``sys.path`` where the module is imported.
    """
    wanted, done = [module], set()
    while wanted:
        name = wanted.pop()
        source = _source(name)
        if source is None or name in done:
            continue
        done.add(name)
        wanted += _imports(ast.parse(source.read_text(encoding="utf-8")))
        target = folder / Path(*name.split(".")).with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        for parent in target.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()


def _source(name: str) -> Path | None:
    """Return the file of a module; None for a package or anything else."""
    parent, _, _ = name.rpartition(".")
    if parent and _source(parent):  # a name in a module
        return None
    spec = find_spec(name)
    if spec is None or spec.origin is None or spec.submodule_search_locations is not None:
        return None
    return Path(spec.origin)


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the names of this package that code imports when it runs, anywhere in it."""
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names if one.name.startswith(f"{_PACKAGE}."))
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if module == _PACKAGE or module.startswith(f"{_PACKAGE}."):
            yield module
            yield from (f"{module}.{one.name}" for one in node.names)
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not typing_only:
            yield from _imports(child)
