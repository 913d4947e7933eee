"""Share of small changes of the code that its tests notice.

    python tests/project/mutation.py splits --mutants 60

A mutant differs from the code in one place: a comparison, an operator, a constant, a condition. Its
functions take the place of the real ones in a process that has everything loaded, and the part's
tests run there; the mutant is killed if one fails or they take too long. Mutants are drawn at
random, by `--seed`, from all that are possible. Survivors are listed: some change nothing that
matters (a message, a size of blocks), the others show what is untested.

mutmut and cosmic-ray start tests in a new or a forked process for each mutant. The first costs ten
seconds of imports each, and Polars' threads do not survive the second.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import inspect
import io
import json
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

READING = "towermill.workflows.sources.reading"
#: Part to its modules and the tests of it.
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "splits": (
        ("towermill.workflows.selecting.split", "towermill.workflows.selecting.cuts"),
        ("tests/workflows/selecting/test_split.py",),
    ),
    "metrics": (
        (
            "towermill.models.metrics.cuts",
            *(f"towermill.models.metrics.catalogue.{n}" for n in ("ndcg", "recall", "precision")),
        ),
        ("tests/models/metrics",),
    ),
    "vocabularies": (
        tuple(
            f"towermill.workflows.ops.categories.{n}" for n in ("vocabulary", "extend", "lookup")
        ),
        ("tests/workflows/ops/test_extend.py", "tests/workflows/ops/test_categorify.py"),
    ),
    "negatives": (
        tuple(f"towermill.models.objectives.{n}" for n in ("samplers", "draws", "known_pairs")),
        ("tests/models/objectives",),
    ),
    "readers": (
        (
            *(
                f"{READING}.{n}"
                for n in ("files", "formats", "ids", "parquet", "values", "casting")
            ),
            *(f"{READING}.text.{n}" for n in ("quotes", "text_types", "endings", "text_files")),
        ),
        ("tests/workflows/sources/reading", "tests/inputs"),
    ),
}
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


@dataclass(frozen=True)
class Mutant:
    """One change: the module, its line, what it was and is, and the changed syntax tree."""

    module: str
    line: int
    change: str
    tree: ast.Module


def mutants(name: str) -> Iterator[Mutant]:
    """Yield every mutant of a module's functions."""
    path = Path(inspect.getsourcefile(importlib.import_module(name)) or "")
    tree = ast.parse(path.read_text())
    count = sum(1 for _ in _places(tree))
    for number in range(count):
        changed = copy.deepcopy(tree)
        node = next(node for i, node in enumerate(_places(changed)) if i == number)
        before = ast.unparse(node)
        _mutate(node)
        after = ast.unparse(node)
        yield Mutant(name, node.lineno, f"{before} → {after}", ast.fix_missing_locations(changed))


def _places(tree: ast.Module) -> Iterator[Any]:
    """Yield what can be changed within functions, in a fixed order; messages are left out."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    inner = {id(n) for f in functions for n in ast.walk(f) if n is not f and n in functions}
    for function in (f for f in functions if id(f) not in inner):
        for statement in function.body:
            for node in _walk(statement):
                if _can_change(node):
                    yield node


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.AnnAssign):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _can_change(node: ast.AST) -> bool:
    match node:
        case ast.Compare(ops=[one]):
            return type(one) in _COMPARED
        case ast.BinOp(op=one):
            return type(one) in _COMPUTED
        case ast.Constant(value=bool() | int()):
            return True
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            return True
        case ast.If() | ast.IfExp():
            return True
    return False


def _mutate(node: Any) -> None:
    match node:
        case ast.Compare():
            node.ops = [_COMPARED[type(node.ops[0])]()]
        case ast.BinOp():
            node.op = _COMPUTED[type(node.op)]()
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant():
            node.value += 1
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp():
            node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
            if not isinstance(node.op, ast.UAdd):
                node.operand = ast.UnaryOp(node.op, node.operand)
        case ast.If() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test)


def functions(module: ModuleType) -> dict[str, FunctionType]:
    """Return a module's functions and methods by qualified name."""
    found: dict[str, FunctionType] = {}

    def add(value: Any) -> None:
        value = inspect.unwrap(value) if callable(value) else value
        for inner in (
            *(getattr(value, name, None) for name in ("fget", "__func__", "func")),
            value,
        ):
            if isinstance(inner, FunctionType) and inner.__module__ == module.__name__:
                found[inner.__qualname__] = inner

    for value in vars(module).values():
        add(value)
        if isinstance(value, type) and value.__module__ == module.__name__:
            for one in vars(value).values():
                add(one.func if isinstance(one, cached_property) else one)
    return found


@contextlib.contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Give the functions of a module the mutant's code."""
    module = importlib.import_module(mutant.module)
    compiled = _codes(compile(mutant.tree, str(module.__file__), "exec"))
    before = {}
    for name, function in functions(module).items():
        code = compiled.get(name)
        if code is not None and code.co_freevars == function.__code__.co_freevars:
            before[function] = function.__code__
            function.__code__ = code
    try:
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def _codes(code: CodeType) -> dict[str, CodeType]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    found = {one.co_qualname: one for one in inner}
    for one in inner:
        found |= _codes(one)
    return found


class _LateError(BaseException):
    pass


def passes(tests: tuple[str, ...], seconds: int) -> bool:
    """Return whether all tests pass in this process, in time."""

    def late(*_: Any) -> None:
        raise _LateError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-n0", *tests]) == 0
    except _LateError:
        return False
    finally:
        signal.alarm(0)


def main() -> None:
    """Run a part's mutants and print its score as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    modules, tests = PARTS[options.part]
    if not passes(tests, 600):
        sys.exit("the tests fail without a mutant")
    possible = [mutant for module in modules for mutant in mutants(module)]
    rng = random.Random(options.seed)
    chosen = rng.sample(possible, min(options.mutants, len(possible)))
    survivors = []
    for mutant in chosen:
        with in_place(mutant):
            if passes(tests, options.seconds):
                survivors.append(f"{mutant.module}:{mutant.line} {mutant.change}")
                sys.stderr.write(f"survived: {survivors[-1]}\n")
    score = 1 - len(survivors) / len(chosen)
    result = {"part": options.part, "possible": len(possible), "mutants": len(chosen)}
    sys.stdout.write(json.dumps({**result, "score": round(score, 3), "survivors": survivors}))


if __name__ == "__main__":
    main()
