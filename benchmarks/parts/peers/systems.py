"""What is compared: systems, their settings and environments, and the splits."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

SPLITS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "by": "user", "validation": 0.1, "test": 0.1},
    "leave_one_out": {"kind": "leave_one_out"},
    "time": {"kind": "time"},
}
_TABLES = ("pandas==2.3.3", "pyarrow==23.0.1")
#: Environment to what is installed in it.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "implicit": ("implicit==0.7.3", "numpy==2.4.6", *_TABLES),
    "lightfm": ("lightfm-next==1.19.0", *_TABLES),
    "keras_rs": ("keras-rs==0.4.0", "keras==3.15.1", "jax==0.10.2", "scipy", *_TABLES),
    "recbole": (
        *("recbole==1.2.1", "torch==2.13.0", "numpy==1.26.4", "scipy==1.12.0"),
        *("setuptools==80.9.0", *_TABLES),
    ),
    "rectools": ("rectools[torch]==0.19.0", "torch==2.13.0", *_TABLES),
    "tfrs": (
        *("tensorflow-recommenders==0.7.7", "tensorflow==2.21.0", "tf-keras==2.21.0", "scipy"),
        *_TABLES,
    ),
}


@dataclass(frozen=True)
class System:
    """A system to compare.

    Attributes
    ----------
    name
        As in docs/peers.md.
    script
        In ``benchmarks/parts/peers/fits``.
    environment
        Of `ENVIRONMENTS`; None is Towermill's own.
    settings
        What is tried on validation.
    random
        Whether the result depends on the seed.
    history
        Whether a test query knows the items of validation.
    ordered
        Whether it reads the order of a history: then it runs on the splits by time only.
    """

    name: str
    script: str
    environment: str | None
    settings: Sequence[dict[str, Any]]
    random: bool = True
    history: bool = True
    ordered: bool = False

    def suits(self, split: str) -> bool:
        """Return whether it runs on the split."""
        return not self.ordered or not split.startswith("random")

    def recipe_text(self, scripts: Path) -> str:
        """Return its recipe; empty for other libraries."""
        recipe = self.settings[0].get("recipe")
        return (scripts / "recipes" / f"{recipe}.yaml").read_text() if recipe else ""

    def lines(self, scripts: Path) -> int:
        """Return the lines of code of its script, or of its recipe: no blanks, no docstrings."""
        if recipe := self.recipe_text(scripts):
            return sum(bool(line.strip()) for line in recipe.splitlines())
        text = (scripts / self.script).read_text()
        docstrings = {
            line
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        code = [line for at, line in enumerate(text.splitlines(), 1) if at not in docstrings]
        return sum(bool(line.strip()) and not line.strip().startswith("#") for line in code)


def grid(**ranges: Any) -> list[dict[str, Any]]:
    """Return every combination; what is no list is fixed.

    Examples
    --------
    >>> grid(kind="als", factors=[32, 64])
    [{'kind': 'als', 'factors': 32}, {'kind': 'als', 'factors': 64}]
    """
    lists = [values if isinstance(values, list) else [values] for values in ranges.values()]
    return [dict(zip(ranges, chosen, strict=True)) for chosen in product(*lists)]


def _ours(recipe: str, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"recipe": recipe, **change} for change in changes or ({},)]


_IMPLICIT, _RECTOOLS = "implicit_models.py", "rectools_models.py"
_RECBOLE, _OURS = "recbole_models.py", "towermill_recipes.py"
_RECTOOLS_EASE = grid(kind="ease", regularization=[100.0, 200.0, 400.0, 800.0])
_SASREC = {"n_blocks": 2, "n_heads": 2, "session_max_len": 100, "lr": 0.001, "batch_size": 32}
SYSTEMS = (
    System(
        "Towermill ease",
        _OURS,
        None,
        _ours("ease", *({"model": {"l2": l2}} for l2 in (100, 200, 400, 800))),
        random=False,
    ),
    System("Towermill history", _OURS, None, _ours("history")),
    System("Towermill blend", _OURS, None, _ours("blend")),
    System(
        "Towermill self_attention",
        _OURS,
        None,
        _ours("self_attention"),
        ordered=True,
    ),
    System("NumPy EASE", "numpy_ease.py", "implicit", grid(l2=[100, 200, 400, 800]), random=False),
    System(
        "implicit ALS",
        _IMPLICIT,
        "implicit",
        grid(kind="als", factors=[32, 64], alpha=2.0, regularization=[10.0, 30.0]),
    ),
    System(
        "implicit BPR",
        _IMPLICIT,
        "implicit",
        grid(
            kind="bpr",
            factors=64,
            iterations=[25, 100],
            regularization=[0.02, 0.1],
            learning_rate=0.01,
        ),
        history=False,
    ),
    System(
        "implicit item kNN (BM25)",
        _IMPLICIT,
        "implicit",
        grid(kind="knn", K=[50, 200], B=[0.2, 0.6]),
        random=False,
    ),
    System(
        "LightFM WARP",
        "lightfm_warp.py",
        "lightfm",
        grid(no_components=[32, 64], epochs=[20, 50], learning_rate=0.05),
        history=False,
    ),
    System(
        "Keras Recommenders in-batch softmax",
        "keras_rs_retrieval.py",
        "keras_rs",
        grid(dim=64, l2=[1e-6, 1e-5], epochs=10, batch_size=1024, learning_rate=0.003),
        history=False,
    ),
    System(
        "RecBole BPR",
        _RECBOLE,
        "recbole",
        grid(model="BPR", embedding_size=64, epochs=[20, 40], learning_rate=0.002),
        history=False,
    ),
    System(
        "RecBole LightGCN",
        _RECBOLE,
        "recbole",
        grid(model="LightGCN", embedding_size=64, epochs=[40, 80], learning_rate=0.002),
        history=False,
    ),
    System(
        "TensorFlow Recommenders retrieval",
        "tfrs_retrieval.py",
        "tfrs",
        grid(dim=64, l2=[1e-6, 1e-5], epochs=10, batch_size=1024, learning_rate=0.003),
        history=False,
    ),
    System(
        "stock Merlin two-tower",
        "merlin_two_tower.py",
        None,
        grid(dim=64, layers=[(), (128,)], epochs=10, batch_size=1024, learning_rate=0.003),
        history=False,
    ),
    System("RecTools EASE", _RECTOOLS, "rectools", _RECTOOLS_EASE, random=False),
    System(
        "RecTools ALS",
        _RECTOOLS,
        "rectools",
        grid(kind="als", factors=[32, 64], alpha=2.0, regularization=[10.0, 30.0]),
        history=False,
    ),
    System(
        "RecTools SASRec",
        _RECTOOLS,
        "rectools",
        grid(kind="sasrec", n_factors=64, dropout_rate=0.2, epochs=20, **_SASREC),
        ordered=True,
    ),
)
