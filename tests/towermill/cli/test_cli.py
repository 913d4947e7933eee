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
from towermill.progress import draw

COMMANDS = [
    *("run", "plan", "init", "recipes", "schema", "recommend", "similar", "tune", "doctor"),
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
                content["baselines"] = {"random": {"recall@5": 0.125}}
                differs = {"difference": 0.125, "interval": [0.1, 0.15]}
                content["compared"] = {"metric": "recall@5", "baselines": {"random": differs}}
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
    draw(True)
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

    def test_lists_are_parquet(self, call: Any) -> None:
        code, _, err = call("recommend", "b", "--all", "--out", "lists.csv")
        assert code == 2
        assert "end it in .parquet. Received: lists.csv" in err

    def test_recipes(self, call: Any) -> None:
        code, out, _ = call("recipes")
        assert code == 0
        assert "demo" in out
        listed = json.loads(call("recipes", "--json")[1])
        assert {r["name"]: r["description"] for r in listed} == shipped_recipes()

    def test_schema(self, call: Any) -> None:
        code, out, _ = call("schema")
        assert code == 0
        assert json.loads(out)["required"] == ["source"]


class TestInit:
    LOG = "user,item\n" + "".join(f"u{n % 7},i{n % 11}\n" for n in range(100))

    @pytest.fixture(autouse=True)
    def log(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text(self.LOG)

    def test_writes_a_recipe_and_its_schema(self, call: Any, tmp_path: Path) -> None:
        code, out, err = call("init", "log.csv")
        assert code == 0
        assert out.splitlines()[-2:] == ["recipe: log.yaml", "next: towermill run log.yaml"]
        assert "Check: No column of times was found" in err
        first, second, *_ = (tmp_path / "log.yaml").read_text().splitlines()
        assert first == "# yaml-language-server: $schema=.towermill/recipe.schema.json"
        assert second.startswith("# Drafted by `towermill init`")
        schema = json.loads((tmp_path / ".towermill" / "recipe.schema.json").read_text())
        assert schema == json.loads(call("schema")[1])
        assert call("plan", "log.yaml")[0] == 0

    def test_overwrites_nothing_unless_forced(self, call: Any, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("mine")
        code, _, err = call("init", "log.csv", "--out", "a.yaml")
        assert code == 2
        assert err == (
            "towermill: a.yaml exists. Name another file by --out, or overwrite it with --force.\n"
        )
        assert (tmp_path / "a.yaml").read_text() == "mine"
        code, _, _ = call("init", "log.csv", "--out", "a.yaml", "--force", "--no-schema")
        assert code == 0
        assert (tmp_path / "a.yaml").read_text().startswith("# Drafted")
        assert not (tmp_path / ".towermill").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["none.csv"], "Nothing is at none.csv"),
            (["log.csv", "--out", "a.txt"], "--out should be a YAML file"),
        ],
    )
    def test_refused(self, call: Any, arguments: list[str], message: str) -> None:
        code, out, err = call("init", *arguments)
        assert (code, out) == (2, "")
        assert message in err

    def test_asks_at_a_terminal_alone(self, monkeypatch: Any, capsys: Any) -> None:
        from towermill.cli import recipes

        monkeypatch.setattr("typer.prompt", lambda *a, **k: 2)
        assert recipes._ask("Which?", ["a", "b"]) == "b"
        assert "  2  b" in capsys.readouterr().err


class TestRun:
    def test_prints_metrics_and_bundle(self, call: Any, ran: list[str]) -> None:
        code, out, err = call("run", "r.yaml")
        assert code == 0
        assert len(ran) == 5
        lines = [line.split() for line in out.splitlines()]
        assert lines[0][:4] == ["catalogue,", "3", "queries", "recall@5"]
        assert lines[2] == ["model", "0.2500"]
        assert lines[3] == ["random", "0.1250", "+0.1250", "+0.1000", "to", "+0.1500"]
        assert lines[-1] == ["bundle:", "runs/r/latest/bundle"]
        assert "prepare: running (never run)" in err

    def test_verbose_prints_all_metrics(self, call: Any, ran: list[str]) -> None:
        lines = [line.split() for line in call("run", "r.yaml", "-v")[1].splitlines()]
        assert lines[0] == ["catalogue,", "3", "queries", "model", "random"]
        assert ["recall@5", "0.2500", "0.1250"] in lines

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


class TestMessages:
    @pytest.mark.parametrize("before", [True, False])
    def test_json_lines_wherever_the_option_stands(
        self, call: Any, ran: list[str], before: bool
    ) -> None:
        options = ("--log-format", "json")
        words = (*options, "run", "r.yaml") if before else ("run", "r.yaml", *options)
        code, _, err = call(*words)
        assert code == 0
        told = [json.loads(line) for line in err.splitlines()]
        assert {"time", "level", "logger", "message"} == set(told[0])
        assert "prepare: running (never run)" in [one["message"] for one in told]

    def test_quiet_after_the_command(self, call: Any, ran: list[str]) -> None:
        assert call("run", "r.yaml", "-q")[::2] == (0, "")
