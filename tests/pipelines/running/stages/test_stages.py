"""What a stage may read of a recipe."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import StageError
from towermill.pipelines import run
from towermill.pipelines.running import execute
from towermill.pipelines.running import plan as planning
from towermill.pipelines.stages.base import Declared
from towermill.pipelines.stages.stages import STAGES


class TestDeclared:
    @pytest.fixture
    def declared(self, fakes: Any) -> Any:
        return Declared(fakes.recipe, ("train", "evaluate.query", "continue_from.replay"), "train")

    def test_what_is_declared_is_read(self, declared: Any, fakes: Any) -> None:
        assert declared.train is fakes.recipe.train
        assert declared.evaluate.query == "user"
        assert declared.continue_from is None

    @pytest.mark.parametrize("path", ["split", "evaluate.k", "evaluate.filter_seen", "events"])
    def test_all_else_is_an_error(self, declared: Any, path: str) -> None:
        with pytest.raises(StageError, match=f"Stage 'train' reads `{path}`"):
            reduce(getattr, path.split("."), declared)

    def test_dump_has_what_is_declared(self, declared: Any, fakes: Any) -> None:
        assert declared.model_dump() == {
            "train": fakes.recipe.model_dump()["train"],
            "evaluate": {"query": "user"},
            "continue_from": None,
        }

    def test_travels(self, declared: Any) -> None:
        assert pickle.loads(pickle.dumps(declared)).evaluate.query == "user"


class TestRun:
    def test_a_stage_that_reads_what_it_does_not_declare_fails(
        self, fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def curious(recipe: Any, inputs: Any, out: Path, runtime: Any) -> None:
            (out / "output").write_text(str(recipe.split))

        stages = tuple(
            replace(stage, run=curious) if stage.name == "train" else stage
            for stage in planning.STAGES
        )
        monkeypatch.setattr(planning, "STAGES", stages)
        with pytest.raises(StageError, match=r"Stage 'train' reads `split`.*declares only: model"):
            run(fakes.recipe, tmp_path)
        assert fakes.taken() == ["prepare", "process"]

    @pytest.mark.parametrize("place", ["before", "meanwhile"])
    def test_code_that_changes_after_the_plan(
        self, fakes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        """Its output would be believed to be that of the code that was planned."""
        changed = iter([["towermill.files"]] if place == "before" else [[], ["towermill.files"]])
        monkeypatch.setattr(execute, "changed_since", lambda _: next(changed))
        with pytest.raises(StageError, match=r"code of stage 'prepare' changed.*towermill\.files"):
            run(fakes.recipe, tmp_path)
        assert not list(tmp_path.rglob("manifest.json"))
        monkeypatch.undo()

    def test_every_section_is_one_of_the_recipe(self, fakes: Any) -> None:
        for stage in STAGES:
            assert set(stage.settings(fakes.recipe)) == set(stage.sections)
