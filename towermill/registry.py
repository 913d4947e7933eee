"""Find parts by name: Towermill's own, those of other packages, and ``module:Name``.

A part is a class whose body gives its name, ``kind: str = "movielens"`` (``kind: ClassVar[str]``
where it is no field). Towermill's own are found by reading the files of a package, without
importing them: adding one is adding a file. Other packages declare theirs as entry points, and a
recipe may name any importable class or function as ``module:Name``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from towermill.errors import RecipeError, did_you_mean

T = TypeVar("T")

_ADVICE = (
    "Install its package in the environment that Towermill runs in, or put its folder on "
    "PYTHONPATH."
)
#: What declares Towermill's own parts.
_OWN = "towermill"
#: A module that has one of these may have any name.
_ANY_NAME = {"*", "__getattr__", "globals"}
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Place:
    """Where a part is defined.

    Attributes
    ----------
    module, name
        What is imported, and what is taken from it.
    package
        The distribution that declares it, ``towermill`` for its own; None for ``module:Name``.
    """

    module: str
    name: str
    package: str | None = None

    def check(self) -> None:
        """Raise `RecipeError` if there is no such module, or it lacks the name.

        The module is read, not imported; only the packages that it is in are.
        """
        if self.package == _OWN:
            return
        try:
            found = find_spec(self.module)
        except ImportError:
            found = None
        except Exception as error:  # of the packages that it is in, which are imported
            raise self._broken(error) from error
        if found is None:
            raise RecipeError(
                f"{self.module}:{self.name} should be importable: there is no module "
                f"{self.module!r}. {_ADVICE}"
            )
        if found.origin is None or not found.origin.endswith(".py"):
            return
        names = _names(Path(found.origin))
        if self.name not in names and not names & _ANY_NAME:
            raise RecipeError(
                f"{self.module}:{self.name} should be importable: {self.module} has no "
                f"{self.name!r}.{did_you_mean(self.name, names)} Define it in {found.origin}, or "
                "correct the name."
            )

    def load(self) -> Any:
        """Import the part.

        Raises
        ------
        RecipeError
            The module cannot be imported, or lacks the name.
        """
        try:
            return getattr(importlib.import_module(self.module), self.name)
        except (ImportError, AttributeError) as error:
            raise RecipeError(
                f"{self.module}:{self.name} should be importable: {error}. {_ADVICE}"
            ) from error
        except Exception as error:  # of the module, as it is imported
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> RecipeError:
        return RecipeError(
            f"{self.module}:{self.name} should be importable. Importing it raised "
            f"{type(error).__name__}: {error}. Correct the module."
        )


class Registry(Generic[T]):
    """The parts of one kind, by name.

    Parameters
    ----------
    what
        What a part is called in messages, such as ``source``.
    package
        The package whose files define Towermill's own parts.
    group
        The group of entry points under which other packages declare theirs.
    base
        ``module:Name`` of the class that every part extends; None if parts need not share one.

    Examples
    --------
    >>> from towermill.registry import Registry
    >>> Registry("source", "towermill.workflows.sources", "towermill.sources").place("mind").name
    'Mind'
    """

    def __init__(self, what: str, package: str, group: str, base: str | None = None) -> None:
        self.what, self.package, self.group, self._base = what, package, group, base
        self._loaded: dict[str, type[T]] = {}

    @cached_property
    def own(self) -> Mapping[str, Place]:
        """Towermill's own parts, by name."""
        found: dict[str, Place] = {}
        for module, file in _modules(self.package, resources.files(self.package)):
            for kind, name in _kinds(file.read_text()):
                if kind in found:
                    raise RecipeError(
                        f"The {self.what} {kind!r} should be defined once in {self.package}. "
                        f"Received: {found[kind].module} and {module}. Rename one."
                    )
                found[kind] = Place(module, name, _OWN)
        return dict(sorted(found.items()))

    @property
    def others(self) -> Mapping[str, tuple[Place, ...]]:
        """The parts that other packages declare, by name: several where packages clash."""
        found: dict[str, tuple[Place, ...]] = {}
        for point in declared(self.group):
            package = point.dist.name if point.dist is not None else point.module
            place = Place(point.module, point.attr, package)
            found[point.name] = (*found.get(point.name, ()), place)
        return found

    def names(self) -> list[str]:
        """Return all names that are known, Towermill's own first."""
        return [*self.own, *self.others]

    def place(self, name: str) -> Place:
        """Return where a part is defined, without importing it.

        Raises
        ------
        RecipeError
            The name is unknown: says which is closest, and where it was looked up. Or two packages
            declare it.
        """
        found = [*([self.own[name]] if name in self.own else []), *self.others.get(name, ())]
        if len(found) > 1:
            packages = " and ".join(f"one of {place.package}" for place in found)
            raise RecipeError(
                f"The {self.what} {name!r} should be declared once. Received: {packages}. Rename "
                f"the entry point in the group `{self.group}`, or uninstall one of the packages."
            )
        if found:
            return found[0]
        if _REFERENCE.fullmatch(name):
            return reference(name)
        own, others = ", ".join(self.own), ", ".join(self.others)
        raise RecipeError(
            f"No {self.what} {name!r}.{did_you_mean(name, self.names())} Towermill has: {own}. "
            f"Other packages have, as entry points of `{self.group}`: {others or 'none'}. A "
            f"{self.what} of your own is named as `module:Name`."
        )

    def get(self, name: str) -> type[T]:
        """Return the class of a part.

        Raises
        ------
        RecipeError
            The name is unknown, cannot be imported, is not a part of this kind, or lacks methods
            that every part of it has.
        """
        if name not in self._loaded:
            place = self.place(name)
            place.check()
            part = place.load()
            base = None if self._base is None else Place(*self._base.split(":")).load()
            if base is not None and not (isinstance(part, type) and issubclass(part, base)):
                raise RecipeError(
                    f"The {self.what} {name!r} should be a class that extends {self._base}. "
                    f"Received: {part!r}."
                )
            if lacking := sorted(getattr(part, "__abstractmethods__", ())):
                raise RecipeError(
                    f"The {self.what} {name!r} should implement {', '.join(lacking)} of "
                    f"{self._base}. {part.__module__}:{part.__name__} does not."
                )
            self._loaded[name] = part
        return self._loaded[name]


def reference(name: str) -> Place:
    """Return what ``module:Name`` names.

    Raises
    ------
    RecipeError
        The text is of another form, or names code that is not trusted: see `distrusting`.
    """
    if not _REFERENCE.fullmatch(name):
        raise RecipeError(f"Expected `module:Name`, such as shop.graph:build. Received: {name!r}.")
    place = Place(*name.split(":"))
    if _distrust and place.module.partition(".")[0] not in {_OWN, *plugins()}:
        raise RecipeError(
            f"{name!r} names code that would be imported and run. If you trust the file that names "
            "it, put --trust before the command: `towermill --trust run …`."
        )
    return place


#: Holds a value while code that files name is not imported: see `distrusting`.
_distrust: list[bool] = []


@contextlib.contextmanager
def distrusting(distrust: bool = True) -> Iterator[None]:
    """Refuse ``module:Name`` of code that was not installed for Towermill, in all threads.

    Packages that declare entry points of Towermill were installed for it. The command line reads
    recipes, runs and bundles so, unless ``--trust`` is given.
    """
    if distrust:
        _distrust.append(True)
    try:
        yield
    finally:
        if distrust:
            _distrust.pop()


def trusts() -> bool:
    """Return whether code that files contain or name may run in this process."""
    return not _distrust


@cache
def declared(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; they are looked up once in a process."""
    return tuple(entry_points(group=group))


@cache
def plugins() -> frozenset[str]:
    """Return the top-level packages that declare parts for Towermill as entry points."""
    groups = [group for group in entry_points().groups if group.startswith(f"{_OWN}.")]
    points = (point for group in groups for point in declared(group))
    return frozenset(point.module.partition(".")[0] for point in points)


def _names(file: Path) -> set[str]:
    """Return the names that a module binds, and those of `_ANY_NAME` that it has."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise RecipeError(f"{file} should be Python: {error}.") from error
    found: set[str] = set()
    ahead: list[ast.AST] = [tree]
    while ahead:
        node = ahead.pop()
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
                continue  # what it binds is its own
            case ast.alias():
                found.add(node.asname or node.name)
            case ast.Name(name, ast.Store()) | ast.Name("globals" as name):
                found.add(name)
        ahead += ast.iter_child_nodes(node)
    return found


def _modules(package: str, folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """Yield the modules below a package, and their files."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".py"):
            stem = entry.name.removesuffix(".py")
            yield (package if stem == "__init__" else f"{package}.{stem}"), entry
        elif entry.is_dir() and not entry.name.startswith((".", "_")):
            yield from _modules(f"{package}.{entry.name}", entry)


def _kinds(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of each class of a module that gives its kind."""
    if "    kind: " not in text:
        return
    for part in (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)):
        for line in part.body:
            match line:
                case ast.AnnAssign(ast.Name("kind"), annotation, ast.Constant(str(kind))):
                    if ast.unparse(annotation) in ("str", "ClassVar[str]"):
                        yield kind, part.name
