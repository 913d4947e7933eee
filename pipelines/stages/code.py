"""Find the code that computes a result: its import closure and its packages' versions.

A module counts with all that it imports, within functions too, as far as it belongs to the same
packages; what is imported for type checkers alone does not. Of a module the syntax tree counts,
without docstrings: comments and formatting change nothing.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

#: Importing these has Merlin patched (see `towermill.merlin`), as if it was imported with them.
_PATCHED = ("merlin", "nvtabular")
_PATCHES = "towermill.merlin"
#: What every process imports to arm the patches; it computes nothing.
_ARMING = "towermill"


@dataclass(frozen=True)
class Code:
    """The code that computes a result.

    Attributes
    ----------
    modules
        Towermill's, and those of the packages that the roots belong to, by name.
    version
        Digest of their syntax trees.
    packages
        Versions of the distributions that they import.
    """

    modules: tuple[str, ...]
    version: str
    packages: dict[str, str]


@cache
def code_of(*roots: str) -> Code:
    """Return the code that these modules import.

    Parameters
    ----------
    roots
        Names of modules of Towermill or of other packages. None is imported.

    Examples
    --------
    >>> code = code_of("towermill.files")
    >>> code.modules, code.packages
    (('towermill.files',), {})
    """
    own = {_ARMING, *(root.partition(".")[0] for root in roots)}
    reached: dict[str, _Source] = {}
    others: set[str] = set()
    ahead = deque(roots)
    while ahead:
        name = ahead.popleft()
        if name in reached or name == _ARMING:
            continue
        top = name.partition(".")[0]
        if top not in own:
            others.add(name)
            if top in _PATCHED:
                ahead.append(_PATCHES)
            continue
        source = _source(name)
        if source is None:  # a name within a module, not a module
            continue
        reached[name] = source
        ahead += source.imports
        ahead.append(name.rpartition(".")[0] or _ARMING)
    digest = hashlib.sha256()
    for name in sorted(reached):
        digest.update(f"{name} {reached[name].digest}\n".encode())
    return Code(tuple(sorted(reached)), digest.hexdigest()[:16], _versions(others))


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[str, ...]


@cache
def _source(name: str) -> _Source | None:
    path = _path(name)
    if path is None:
        return None
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = tuple(dict.fromkeys(_imports(tree, package)))
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports)


@cache
def _path(name: str) -> Path | None:
    """Return the file of a module, found without importing what it is in where that can be."""
    package, _, last = name.rpartition(".")
    if package:
        parent = _path(package)
        if parent is None or parent.name != "__init__.py":
            return None
        for path in (parent.with_name(f"{last}.py"), parent.parent / last / "__init__.py"):
            if path.is_file():
                return path
        if package != _ARMING:
            return None
    spec = find_spec(name)  # top-level, or mapped into `towermill` by an editable install
    found = spec is not None and spec.origin is not None and spec.origin.endswith(".py")
    return Path(str(spec.origin)) if found and spec is not None else None


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names that a module imports; take docstrings and type checking out of its tree."""
    ahead: deque[ast.AST] = deque([tree])
    while ahead:
        node = ahead.popleft()
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _says_nothing(line)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*(base if node.level else ()), *([node.module or ""])]).strip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        ahead.extend(ast.iter_child_nodes(node))


def _says_nothing(line: ast.stmt) -> bool:
    """Tell whether a statement is a docstring or for type checkers alone."""
    match line:
        case ast.Expr(ast.Constant(str())):
            return True
        case ast.If(ast.Name("TYPE_CHECKING"), orelse=[]):
            return True
    return False


def _versions(modules: set[str]) -> dict[str, str]:
    """Return the versions of the distributions that these modules belong to."""
    names = {name for module in modules for name in _distributions(module)}
    return {name: version(name) for name in sorted(names)}


def _distributions(module: str) -> list[str]:
    """Return the distributions that a module belongs to: several may share a top-level name."""
    parts = module.split(".")
    names = sorted(set(_by_top_level().get(parts[0], ())))
    if len(names) < 2:
        return names
    for length in range(len(parts), 1, -1):
        stem = "/".join(parts[:length])
        files = f"\n{stem}.py,", f"\n{stem}/__init__.py,"
        if owners := [name for name in names if any(file in _record(name) for file in files)]:
            return owners
    return names


@cache
def _by_top_level() -> Mapping[str, list[str]]:
    return {
        name: found
        for name, found in packages_distributions().items()
        if name not in sys.stdlib_module_names
    }


@cache
def _record(name: str) -> str:
    """Return the list of a distribution's files, a line each."""
    return "\n" + (distribution(name).read_text("RECORD") or "")
