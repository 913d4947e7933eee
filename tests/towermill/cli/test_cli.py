"""The command line: what it lists, prints and imports; stages themselves are fakes here."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from towermill import __version__
from towermill.cli.app import main
from towermill.pipelines import shipped_recipes
from towermill.pipelines.running import plan as planning
from towermill.pipelines.running import run as runner
from towermill.pipelines.stages.stages import STAGES

COMMANDS = [
    *("run", "plan", "recipes", "recommend", "tune", "doctor"),
    *("report", "runs", "compare", "publish"),
]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stages that ran; they do nothing."""
    found: list[str] = []

    def fake(name: str) -> Callable[..., None]:
        def work(recipe: Any, inputs: Any, out: Path, runtime: Any) -> None:
            found.append(name)
            if name == "evaluate":
                metrics = {"recall@5": 0.25, "ndcg@5": 0.125}
                content = {"protocol": "catalogue", "queries": 3, "metrics": metrics}
                content["baselines"] = {"random": metrics}
                (out / "metrics.json").write_text(json.dumps(content))
            if name == "export" and recipe.description == "fails":
                raise RuntimeError("on purpose")

        return work

    stages = tuple(replace(stage, run=fake(stage.name)) for stage in STAGES)
    monkeypatch.setattr(planning, "STAGES", stages)
    monkeypatch.setattr(runner, "report_after", lambda folder, steps: None)  # of nothing
    return found


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the command line in an empty folder; return its code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "r.yaml").write_text("source: {kind: synthetic}\n")
    handlers, logger = logging.root.handlers[:], logging.getLogger("towermill")
    level = logger.level

    def command(*arguments: str) -> tuple[int, str, str]:
        logging.root.handlers[:] = []
        monkeypatch.setattr(sys, "argv", ["towermill", *arguments])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    yield command
    logging.root.handlers[:] = handlers
    logger.setLevel(level)


class TestHelp:
    def test_lists_the_commands_and_imports_little(
        self, python: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        said = python("""
import sys
sys.argv = ["towermill", "--help"]
from towermill.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"tensorflow", "polars", "pandas", "numpy", "merlin", "nvtabular", "dask", "pydantic"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""").stdout
        for name in COMMANDS:
            assert name in said

    @pytest.mark.parametrize("name", COMMANDS)
    def test_of_each_command(self, call: Any, name: str) -> None:
        code, out, _ = call(name, "--help")
        assert code == 0
        assert f"Usage: towermill {name}" in out

    def test_version(self, call: Any) -> None:
        assert call("--version") == (0, f"{__version__}\n", "")

    @pytest.mark.parametrize(
        "arguments", [["rnu"], ["run"], ["run", "--nope"], ["recommend", "b"], ["run", "a", "b"]]
    )
    def test_wrong_use(self, call: Any, arguments: list[str]) -> None:
        code, out, err = call(*arguments)
        assert code == 2
        assert out == ""
        assert "Usage: towermill" in err

    def test_recipes(self, call: Any) -> None:
        code, out, _ = call("recipes")
        assert code == 0
        assert "demo" in out
        listed = json.loads(call("recipes", "--json")[1])
        assert {r["name"]: r["description"] for r in listed} == shipped_recipes()


class TestRun:
    def test_prints_metrics_and_bundle(self, call: Any, ran: list[str]) -> None:
        code, out, err = call("run", "r.yaml")
        assert code == 0
        assert len(ran) == 5
        lines = [line.split() for line in out.splitlines()]
        assert ["catalogue,", "3", "queries", "model", "random"] in lines
        assert ["recall@5", "0.2500", "0.2500"] in lines
        assert lines[-1] == ["bundle:", "runs/r/latest/bundle"]
        assert "prepare: running (never run)" in err

    def test_json_is_all_of_the_output(self, call: Any, ran: list[str]) -> None:
        result = json.loads(call("run", "r.yaml", "--json")[1])
        assert result["ran"] == ran
        assert result["bundle"] == "runs/r/latest/bundle"
        assert result["metrics"]["queries"] == 3

    def test_part_of_a_run_has_no_bundle(self, call: Any, ran: list[str]) -> None:
        result = json.loads(call("run", "r.yaml", "--to", "process", "--json")[1])
        assert ran == ["prepare", "process"]
        assert list(result["stages"]) == ran
        assert result["bundle"] is None
        assert result["metrics"] is None

    def test_options_reach_the_run(self, call: Any, ran: list[str], tmp_path: Path) -> None:
        arguments = ["--out", "elsewhere", "--set", "name=other", "--set", "train.epochs=1"]
        result = json.loads(call("run", "r.yaml", *arguments, "--json")[1])
        assert result["recipe"] == "other"
        assert (tmp_path / "elsewhere/other/latest").is_dir()
        ran.clear()
        call("run", "r.yaml", *arguments, "--force", "evaluate")
        assert ran == ["evaluate", "export"]
        ran.clear()
        call("run", "r.yaml", *arguments, "--only", "train", "--force", "train")
        assert ran == ["train"]

    def test_second_run(self, call: Any, ran: list[str]) -> None:
        call("run", "r.yaml")
        ran.clear()
        code, out, err = call("run", "r.yaml")
        assert code == 0
        assert ran == []
        assert err == "Nothing to run: every stage is done.\n"
        assert "bundle: runs/r/latest/bundle" in out

    def test_failure_says_how_to_go_on(self, call: Any, ran: list[str]) -> None:
        with pytest.raises(RuntimeError, match="on purpose"):
            call("run", "r.yaml", "--set", "description=fails")

    def test_failure_prints_the_command(
        self, call: Any, ran: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(RuntimeError):
            call("run", "r.yaml", "--set", "description=fails")
        assert "To resume: towermill run r.yaml --set description=fails" in capsys.readouterr().err

    def test_interrupt(self, call: Any, ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(runner, "run_step", interrupted)
        code, _, err = call("run", "r.yaml")
        assert code == 130
        assert "Finished stages are kept" in err

    def test_quiet(self, call: Any, ran: list[str]) -> None:
        assert call("--quiet", "run", "r.yaml")[2] == ""


class TestPlan:
    def test_table_and_json(self, call: Any, ran: list[str]) -> None:
        lines = call("plan", "r.yaml")[1].splitlines()
        assert lines[2].split() == ["prepare", "yes", "never", "run"]
        found = json.loads(call("plan", "r.yaml", "--json")[1])
        assert [s["stage"] for s in found] == [s.name for s in STAGES]
        assert set(found[0]) == {"stage", "runs", "reason", "key"}
        assert ran == []

    def test_writes_nothing(self, call: Any, tmp_path: Path) -> None:
        call("plan", "r.yaml")
        assert [p.name for p in tmp_path.iterdir()] == ["r.yaml"]


class TestDoctor:
    def test_code_follows_the_findings(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        check = {"name": "x", "ok": False, "found": "nothing", "advice": "mend it", "needed": True}
        monkeypatch.setattr(
            "towermill.cli.doctor.examine", lambda: {"ok": False, "checks": [check]}
        )
        code, out, _ = call("doctor")
        assert code == 1
        assert "mend it" in out
        assert json.loads(call("doctor", "--json")[1])["checks"] == [check]
