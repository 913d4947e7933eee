"""What `run` returns: a list of steps with metrics, bundle and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from towermill.errors import DataError
from towermill.pipelines import Bundle, Selection, run


class TestRun:
    def test_has_metrics_bundle_and_report(self, trained: Any) -> None:
        done = run(trained.recipe, trained.out)
        told = json.loads((trained.latest / "evaluate" / "metrics.json").read_text())
        assert done.metrics == told["metrics"]
        assert Bundle.open(done.bundle).path == trained.bundle.resolve()
        assert done.report.resolve() == (trained.latest / "report.html").resolve()

    def test_is_the_list_of_steps(self, trained: Any) -> None:
        done = run(trained.recipe, trained.out)
        assert [step.stage.name for step in done] == list(trained.stages)
        assert done[2].folder == trained.stages["train"]

    def test_repr_is_short(self, trained: Any) -> None:
        first, *rest = repr(run(trained.recipe, trained.out)).splitlines()
        assert first.startswith("Run of tiny: ndcg@5 0.")
        assert "popularity 0." in first
        assert rest[0] == "  ran: nothing, every stage was done"
        assert [line.split(":")[0] for line in rest] == ["  ran", "  bundle", "  report"]

    def test_of_some_stages(self, fakes: Any, tmp_path: Path) -> None:
        done = run(fakes.recipe, tmp_path, Selection(last="process"))
        assert repr(done) == "Run of tiny\n  ran: prepare, process"
        for name in ("metrics", "bundle", "report"):
            with pytest.raises(DataError, match="not all of its stages are done"):
                getattr(done, name)
