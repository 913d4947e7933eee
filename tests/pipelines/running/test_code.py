"""The code of a stage: the closure of its imports, without what changes nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import towermill
from towermill.errors import SetupError
from towermill.pipelines import load_recipe
from towermill.pipelines.stages.stages import STAGES
from towermill.runtime import code as coding
from towermill.runtime.code import _path, _source, changed_since, code_of

ALL = [stage.name for stage in STAGES]


def modules_of(stage: str, recipe: str) -> set[str]:
    (found,) = (one for one in STAGES if one.name == stage)
    return set(code_of(*found.roots(load_recipe(recipe))).modules)


def _forget_installed() -> None:
    for cached in (coding._by_top_level, coding._changes_freely, coding._is_editable):
        cached.cache_clear()


class TestClosure:
    @pytest.fixture
    def shop(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Write modules of a package `shop`, and forget what was read before."""
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "shop" / "deep").mkdir(parents=True)
        for name in ("__init__", "deep/__init__"):
            (tmp_path / "shop" / f"{name}.py").touch()

        def write(**modules: str) -> None:
            for name, text in modules.items():
                (tmp_path / "shop" / f"{name.replace('__', '/')}.py").write_text(text)
            for cached in (code_of, _source, _path):
                cached.cache_clear()

        yield write
        for cached in (code_of, _source, _path):
            cached.cache_clear()

    def test_follows_imports_wherever_they_are(self, shop: Callable[..., None]) -> None:
        shop(
            a="import shop.b\ndef f():\n    from shop.deep import c\n",
            b="from . import d\nfrom .deep.e import name\n",
            d="",
            deep__c="import json, numpy.linalg\n",
            deep__e="name = 1\n",
            unused="",
        )
        code = code_of("shop.a")
        assert code.modules == (
            *("shop", "shop.a", "shop.b", "shop.d", "shop.deep", "shop.deep.c", "shop.deep.e"),
        )
        assert code.packages == {"numpy": importlib.metadata.version("numpy")}

    def test_types_alone_do_not_count(self, shop: Callable[..., None]) -> None:
        text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop.b\n"
        shop(a=text, b="import polars\n")
        assert "shop.b" not in code_of("shop.a").modules
        assert code_of("shop.a").packages == {}

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ('"""Another."""\n\n\ndef f(x):\n    """Other."""\n    return x + 1\n', True),
            ("# A comment.\ndef f(\n    x,\n):\n    return x + 1  # one more\n", True),
            ("def f(x):\n    return x + 2\n", False),
            ("def f(x):\n    return 'a text that is used'\n", False),
        ],
    )
    def test_what_changes_it(self, shop: Callable[..., None], text: str, same: bool) -> None:
        shop(a="import shop.b\n", b='"""One."""\ndef f(x):\n    """This."""\n    return x + 1\n')
        before = code_of("shop.a").version
        shop(b=text)
        assert (code_of("shop.a").version == before) is same

    def test_merlin_brings_its_patches(self, shop: Callable[..., None]) -> None:
        shop(a="import polars\n")
        assert "towermill.merlin.core" not in code_of("shop.a").modules
        shop(a="import nvtabular\n")
        assert "towermill.merlin.core" in code_of("shop.a").modules

    def test_distributions_of_one_namespace_are_told_apart(self, shop: Callable[..., None]) -> None:
        shop(a="from merlin.schema import Schema\n")
        assert "merlin-core" in code_of("shop.a").packages
        shop(a="import merlin.models.tf as mm\n", b="")
        found = code_of("shop.a").packages
        assert "merlin-models" in found

    def test_types_alone_in_any_form(self, shop: Callable[..., None]) -> None:
        text = (
            "import typing\nif typing.TYPE_CHECKING:\n    import shop.b\nelse:\n    import shop.d\n"
        )
        shop(a=text, b="", d="")
        assert {"shop.b", "shop.d"} & set(code_of("shop.a").modules) == {"shop.d"}

    def test_packages_without_init(self, shop: Callable[..., None], tmp_path: Path) -> None:
        (tmp_path / "bare" / "deep").mkdir(parents=True)
        (tmp_path / "bare" / "deep" / "graph.py").write_text("import bare.other, numpy\n")
        (tmp_path / "bare" / "other.py").write_text("x = 1\n")
        shop()
        code = code_of("bare.deep.graph")
        assert code.modules == ("bare.deep.graph", "bare.other")
        assert set(code.packages) == {"numpy"}

    def test_modules_without_a_version_count(
        self, shop: Callable[..., None], tmp_path: Path
    ) -> None:
        """A helper on PYTHONPATH can change at any time; an installed package has a version."""
        (tmp_path / "helpers.py").write_text("x = 1\n")
        shop(a="import helpers, numpy\n")
        before = code_of("shop.a")
        assert "helpers" in before.modules
        (tmp_path / "helpers.py").write_text("x = 2\n")
        shop()
        assert code_of("shop.a").version != before.version

    def test_editable_packages_count(self, shop: Callable[..., None], tmp_path: Path) -> None:
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "__init__.py").write_text("x = 1\n")
        info = tmp_path / "linked-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n")
        (info / "top_level.txt").write_text("linked\n")
        shop(a="import linked\n")
        _forget_installed()
        assert "linked" not in code_of("shop.a").modules
        (info / "direct_url.json").write_text('{"url": "", "dir_info": {"editable": true}}')
        shop()
        _forget_installed()
        assert "linked" in code_of("shop.a").modules

    def test_code_that_cannot_be_read(self, shop: Callable[..., None]) -> None:
        shop(a="def f(:\n")
        with pytest.raises(SetupError, match=r"shop/a\.py should be Python: .*Correct the file"):
            code_of("shop.a")

    @pytest.mark.parametrize("root", ["shop.nothing", "nowhere", "nowhere.else"])
    def test_no_code_at_all(self, shop: Callable[..., None], root: str) -> None:
        shop()
        with pytest.raises(SetupError, match=f"code of '{root}' should be Python source"):
            code_of(root)

    def test_what_changed_since(self, shop: Callable[..., None], tmp_path: Path) -> None:
        shop(a="import shop.b\n", b="x = 1\n")
        code = code_of("shop.a")
        assert changed_since(code) == []
        (tmp_path / "shop" / "b.py").write_text('"""Docs."""\nx = 1  # comment\n')
        assert changed_since(code) == []
        (tmp_path / "shop" / "b.py").write_text("x = 12\n")
        assert changed_since(code) == ["shop.b"]
        (tmp_path / "shop" / "b.py").unlink()
        assert changed_since(code) == ["shop.b"]


class TestOfRecipes:
    def test_no_part_that_the_recipe_does_not_use(self) -> None:
        found = {stage: modules_of(stage, "demo") for stage in ALL}
        assert "towermill.workflows.sources.movielens" in found["prepare"]
        unused = re.compile(r"\b(mind|ebnerd|nrms|news_mf|impressions?|slates?|funk_svd)\b")
        for stage, modules in found.items():
            assert [name for name in modules if unused.search(name)] == [], stage
        assert "towermill.models.architectures.history_two_tower" in found["train"]

    def test_parts_that_it_uses(self) -> None:
        assert "towermill.workflows.sources.news_logs.mind" in modules_of("prepare", "mind-nrms")
        train = modules_of("train", "mind-nrms")
        assert "towermill.models.encoders.news.self_attention" in train
        assert "towermill.models.architectures.two_tower" not in train
        assert "towermill.models.evaluation.impressions" in train

    def test_a_stage_is_keyed_by_no_other(self) -> None:
        assert "towermill.models.training.fit" not in modules_of("evaluate", "demo")
        assert "towermill.pipelines.export.export" not in modules_of("evaluate", "demo")
        assert "towermill.pipelines.search.exact" in modules_of("export", "demo")
        assert "towermill.pipelines.server.app" not in modules_of("export", "demo")


#: In a module, and text of it with what comes in its place.
EDITS = {
    "docstring": ("workflows/selecting/split.py", '"""', '"""Another docstring. '),
    "comment": (
        *("models/architectures/two_tower.py", "\n\n\ndef "),
        "\n\n\n# A comment.\ndef ",
    ),
    "mind": ("workflows/sources/news_logs/mind.py", "\n\n\nclass ", "\n\n\nX = 1\n\n\nclass "),
    "layer": ("models/layers/embeddings.py", "\n\n\ndef ", "\n\n\nX = 1\n\n\ndef "),
    "query encoding": (
        *("pipelines/bundle/query_encoder.py", "\n\n\n@dataclass"),
        "\n\n\nX = 1\n\n\n@dataclass",
    ),
}
#: Print which keys each edit changes. One process does it, and before each edit forgets what it has
#: read of the package, as a new process would.
CHANGED = """
import json, sys
from pathlib import Path
from towermill.pipelines import load_recipe, plan
from towermill.pipelines.simulation.simulate import code_of_trials
from towermill.runtime import code

def keys():
    for cached in (code.code_of, code._source, code._path):
        cached.cache_clear()
    found = {step.stage.name: step.key for step in plan(load_recipe("demo"), "runs")}
    return found | {"simulate": code_of_trials(load_recipe("slates-hybrid")).version}

before, changed = keys(), {}
for name, (path, old, new) in json.loads(sys.argv[1]).items():
    file = Path("towermill", path)
    text = file.read_text()
    assert old in text, path
    file.write_text(text.replace(old, new, 1))
    changed[name] = [stage for stage, key in keys().items() if key != before[stage]]
    file.write_text(text)
assert keys() == before
print(json.dumps(changed))
"""


class TestEdits:
    """On a copy of the package: which keys an edit changes."""

    @pytest.fixture(scope="class")
    @classmethod
    def changed(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
        copy = tmp_path_factory.mktemp("copy")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(str(towermill.__file__)).parent, copy / "towermill", ignore=ignored)
        done = subprocess.run(
            [sys.executable, "-P", "-c", CHANGED, json.dumps(EDITS)],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, list[str]] = json.loads(done.stdout)
        return found

    @pytest.mark.parametrize("edit", ["docstring", "comment", "mind"])
    def test_that_runs_nothing_of_the_demo(self, changed: dict[str, list[str]], edit: str) -> None:
        assert changed[edit] == []

    def test_of_a_layer_runs_from_train_on(self, changed: dict[str, list[str]]) -> None:
        assert changed["layer"] == ["train", "evaluate", "export"]

    def test_of_query_encoding_runs_export_and_trials(self, changed: dict[str, list[str]]) -> None:
        assert changed["query encoding"] == ["export", "simulate"]
