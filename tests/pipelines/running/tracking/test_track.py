"""Trackers by name, and those of others."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest

from towermill.errors import RecipeError, SetupError
from towermill.pipelines import Selection, run
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.tracking.base import Tracker, epoch_metrics, final_metrics
from towermill.pipelines.running.tracking.track import open_tracker, record


class Notebook(Tracker):
    """Notes runs in a list."""

    kind: ClassVar[str] = "notebook"
    notes: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, target: str) -> None:
        if target == "away":
            raise SetupError("The notebook is away.")
        self.target = target

    def track(self, run: RunFiles) -> str:
        if self.target == "full":
            raise OSError("no page left")
        self.notes.append((self.target, run.key))
        return f"page {len(self.notes)}"


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the tracker of this module as a recipe would name it."""
    import sys
    import types

    module = types.ModuleType("notebooks")
    module.Notebook = Notebook  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace(origin=None)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "notebooks", module)
    return "notebooks:Notebook"


class TestOpen:
    @pytest.mark.parametrize("target", ["", "blue", "http://host:80/a"])
    def test_of_others(self, named: str, target: str) -> None:
        made = open_tracker(f"{named}:{target}" if target else named)
        assert isinstance(made, Notebook)
        assert made.target == target

    @pytest.mark.parametrize(
        "text", ["mlfow", "mlfow:http://host:5000", "mlfow:", "mlfow:here", "mlfow:localhost:5000"]
    )
    def test_misspelled(self, text: str) -> None:
        with pytest.raises(RecipeError, match=r"No tracker 'mlfow'\. Did you mean 'mlflow'"):
            open_tracker(text)


class TestRun:
    def test_recorded_after_the_run(
        self, trained: Any, named: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "towermill"):
            done = run(trained.recipe, trained.out, track=f"{named}:blue")
        assert Notebook.notes[-1] == ("blue", done.files.key)
        assert f"tracked: page {len(Notebook.notes)}" in caplog.text

    def test_refused_before_the_first_stage(self, fakes: Any, named: str, tmp_path: Any) -> None:
        with pytest.raises(SetupError, match="away"):
            run(fakes.recipe, tmp_path, track=f"{named}:away")
        assert not list(tmp_path.iterdir())

    def test_some_stages_are_refused(self, fakes: Any, named: str, tmp_path: Any) -> None:
        with pytest.raises(RecipeError, match="all stages"):
            run(fakes.recipe, tmp_path, Selection(last="process"), track=named)
        assert not list(tmp_path.iterdir())

    def test_failure_says_that_the_run_is_complete(self, trained: Any, named: str) -> None:
        with pytest.raises(SetupError, match=r"run is complete, .*no page left.*tries again"):
            record(open_tracker(f"{named}:full"), RunFiles.of(trained.latest))


class TestMetrics:
    def test_names(self, trained: Any) -> None:
        files = RunFiles.of(trained.latest)
        found = final_metrics(files)
        assert found["ndcg@5"] == files.value
        assert found["popularity/ndcg@5"] == files.metrics["baselines"]["popularity"]["ndcg@5"]
        first = dict(epoch_metrics(files))[1]
        assert first["train/loss"] == files.history[0]["loss"]
        assert {"train/learning_rate", "train/rows_per_second"} <= first.keys()

    def test_what_is_no_number_is_left_out(self, trained: Any) -> None:
        files = RunFiles.of(trained.latest)
        files.metrics["metrics"] |= {"ndcg@5": float("nan"), "recall@5": None}
        assert not {"ndcg@5", "recall@5"} & final_metrics(files).keys()
