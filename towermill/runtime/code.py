"""Find the code that computes a result: its import closure and its packages' versions.

A module counts with everything it imports, within functions too: modules of its own package, and
those whose code can change without a new version (editable installs, and folders on PYTHONPATH).
Imports for type checkers alone do not count. Of a module the syntax tree counts, without
docstrings: comments and formatting change nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from towermill.errors import SetupError

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
        Towermill's, those of the packages that the roots belong to, and those without a version.
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

    Raises
    ------
    SetupError
        A root has neither Python source nor a version, or a module has a syntax error.

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
        if top not in own and not _changes_freely(top):
            others.add(name)
            if top in _PATCHED:
                ahead.append(_PATCHES)
            continue
        source = _source(name)
        if source is None:  # a name within a module, or a package without source
            if name in roots:
                _require_version(name)
                others.add(name)
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
    stamp: tuple[int, int]


def changed_since(code: Code) -> list[str]:
    """Return the modules of `code` whose files are no longer what was read for it."""
    return [name for name in code.modules if _has_changed(name)]


def _has_changed(name: str) -> bool:
    before, path = _source(name), _path(name)
    if before is None or path is None:
        return False
    try:
        return _stamp(path) != before.stamp and _read(name, path).digest != before.digest
    except (OSError, SetupError):
        return True


@cache
def _source(name: str) -> _Source | None:
    path = _path(name)
    return None if path is None else _read(name, path)


def _read(name: str, path: Path) -> _Source:
    stamp, tree = _stamp(path), _parsed(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = tuple(dict.fromkeys(_imports(tree, package)))
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, stamp)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise SetupError(f"{path} should be Python: {error}. Correct the file.") from error


@cache
def _path(name: str) -> Path | None:
    """Return the file of a module, found without importing what it is in where that can be."""
    package, _, last = name.rpartition(".")
    if package and package != _ARMING:
        found = (place for folder in _folders(package) for place in _places(folder, last))
        return next((path for path in found if path.is_file()), None)
    spec = find_spec(name)  # top-level, or mapped into `towermill` by an editable install
    known = spec is not None and spec.origin is not None and spec.origin.endswith(".py")
    return Path(str(spec.origin)) if known and spec is not None else None


def _folders(package: str) -> list[Path]:
    """Return the folders of a package; one without ``__init__.py`` may have several."""
    path = _path(package)
    if path is not None:
        return [path.parent] if path.name == "__init__.py" else []
    parent, _, last = package.rpartition(".")
    if parent:
        return [folder / last for folder in _folders(parent) if (folder / last).is_dir()]
    spec = find_spec(package)
    return [Path(one) for one in (spec and spec.submodule_search_locations) or ()]


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.py", folder / name / "__init__.py"


@cache
def _changes_freely(top: str) -> bool:
    """Tell whether a package's code can change without its version: it has none, or is editable."""
    if top in sys.stdlib_module_names or top == "__main__":
        return False
    names = _by_top_level().get(top, ())
    if names:
        return any(_is_editable(name) for name in names)
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


@cache
def _is_editable(name: str) -> bool:
    text = distribution(name).read_text("direct_url.json")
    return text is not None and bool(json.loads(text).get("dir_info", {}).get("editable"))


def _require_version(root: str) -> None:
    if not _distributions(root):
        raise SetupError(
            f"The code of {root!r} should be Python source, or belong to an installed package with "
            "a version: a change of it has to run stages again. Install its package."
        )


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names that a module imports; take docstrings and type checking out of its tree."""
    ahead: deque[ast.AST] = deque([tree])
    while ahead:
        node = ahead.popleft()
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for line in body for one in _counted(line)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*(base if node.level else ()), *([node.module or ""])]).strip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        ahead.extend(ast.iter_child_nodes(node))


def _counted(line: ast.stmt) -> list[ast.stmt]:
    """Return what counts of a statement: no docstring, and nothing for type checkers alone."""
    match line:
        case ast.Expr(ast.Constant(str())):
            return []
        case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return line.orelse
    return [line]


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
